"""The step validate as KFP calls it: what it logs, what fails it, and where the champion's statistics come from."""

import shutil
from pathlib import Path

import pytest

from berth.errors import BerthError
from berth.tracking import run_tree, tags
from tests.components.validate.conftest import SCHEMA
from tests.support.datasets import component_body, write_dataset


def call(artifact, dataset, schema="", champion="", checks=None, encoder="minilm"):
    names = ("statistics", "used_schema", "anomalies", "report")
    outputs = {name: artifact(name) for name in names}
    component_body("validate", "validate")(
        dataset=artifact("dataset", dataset, fingerprint="f"),
        schema=schema,
        champion=champion,
        checks=checks or {},
        encoder=encoder,
        preprocessor="",
        encoder_fingerprint="f",
        sequence_length=128,
        long_texts="truncate",
        beam_args=[],
        **outputs,
    )
    return outputs


QUIET = {"severity": {"skew": "ignore"}, "sample": 0.0}


def test_the_step_logs_its_artifacts_and_says_what_came_out(store, artifact, dataset):
    outputs = call(artifact, dataset, checks=QUIET)
    assert outputs["anomalies"].metadata["summary"] == "no anomalies in 3 splits"
    (step,) = run_tree.children(store.client, store.parent)
    assert outputs["anomalies"].metadata[tags.RUN_ID] == step.info.run_id
    assert {item.path for item in store.client.list_artifacts(step.info.run_id)} == {
        "anomalies",
        "schema.pbtxt",
        "statistics",
        "validation_report.html",
    }
    assert step.data.metrics["anomalies"] == 0
    assert step.data.params["schema"] == "inferred from the train split"
    assert "skew/test/label" in step.data.metrics


def test_the_step_finds_the_champions_statistics_in_mlflow(store, artifact, dataset, tmp_path, real_rows, capsys):
    call(artifact, dataset, checks=QUIET)
    champion = store.parent
    for path in (tmp_path / "outputs").iterdir():
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    spam = [row for row in real_rows["train"] if row[1] == "spam"]
    other = write_dataset(tmp_path / "other", real_rows | {"train": spam * 1}, ["ham", "spam"])
    with pytest.raises(BerthError, match=r"errors? in the data: .*train\.label: expected values as in the champion"):
        call(artifact, other, champion=champion, checks={"severity": {"skew": "ignore", "missing_label": "ignore"}})
    call(artifact, dataset, champion=champion, checks=QUIET, encoder="/nowhere")
    assert "compared with the champion, but for token counts: it had another vocabulary" in capsys.readouterr().out


def test_errors_fail_the_step_and_keep_its_artifacts(store, artifact, dataset, capsys):
    """Each error has its own line."""
    schema = SCHEMA + 'feature { name: "age" type: INT presence { min_count: 1 } }'
    with pytest.raises(
        BerthError, match=r"^3 errors in the data: train\.age: expected a column 'age'.*; .*Fix the data"
    ) as caught:
        call(artifact, dataset, schema, checks=QUIET)
    said = [line for line in capsys.readouterr().out.splitlines() if line.startswith("anomaly error ")]
    assert len(said) == 3
    assert all(line.removeprefix("anomaly error ") in str(caught.value) for line in said)
    (step,) = run_tree.children(store.client, store.parent)
    assert step.info.status == "FAILED"
    assert step.data.tags[tags.ERROR] == str(caught.value)
    logged = {item.path for item in store.client.list_artifacts(step.info.run_id)}
    assert logged == {"anomalies", "schema.pbtxt", "statistics", "validation_report.html"}


def test_warnings_let_the_run_go_on(store, artifact, dataset, capsys):
    checks = {"severity": {"schema": "warn", "skew": "ignore"}}
    outputs = call(
        artifact, dataset, SCHEMA + 'feature { name: "age" type: INT presence { min_count: 1 } }', checks=checks
    )
    assert outputs["anomalies"].metadata["summary"] == "3 warnings in 3 splits"
    assert capsys.readouterr().out.count("anomaly warn ") == 3
    assert Path(outputs["report"].path).exists()
