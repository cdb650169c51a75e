"""Fixtures of the tests of validate: a function that validates a dataset, and a schema of the real messages."""

import shutil

import pytest

from berth.encoders.wordpiece import find_vocabulary
from berth.settings import Checks
from components.validate.step import Outputs, validate_dataset

SPLITS = ("train", "validation", "test")
SCHEMA = 'feature { name: "text" type: BYTES } feature { name: "label" type: BYTES domain: "label" } '
SCHEMA += 'string_domain { name: "label" value: "ham" value: "spam" }'


@pytest.fixture
def run(tmp_path):
    """Return a function that validates a dataset, and checks that everything is written."""

    def run(dataset, schema="", baseline=None, vocabulary=True, sequence_length=128, **checks):
        shutil.rmtree(tmp_path / "out", ignore_errors=True)
        outputs = Outputs(*(tmp_path / "out" / name for name in ("statistics", "schema", "anomalies", "report")))
        validation = validate_dataset(
            dataset,
            schema,
            outputs,
            checks=Checks.model_validate(checks),
            vocabulary=find_vocabulary("minilm", "") if vocabulary else None,
            sequence_length=sequence_length,
            baseline=baseline,
        )
        assert sorted(path.name for path in outputs.statistics.iterdir()) == ["test.pb", "train.pb", "validation.pb"]
        assert len(list(outputs.anomalies.iterdir())) == 3
        assert outputs.report.read_text(encoding="utf-8").startswith("<!doctype html>")
        return validation

    return run


def kinds(validation) -> set[tuple[str, str, str]]:
    return {(found.kind, found.severity, found.split) for found in validation.anomalies}


def lines(validation) -> list[str]:
    return [str(found) for found in validation.anomalies]
