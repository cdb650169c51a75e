"""The behaviour file of a configuration: it travels by its content, and is checked before a run starts."""

import json

import pytest
import yaml

from berth.errors import BerthError
from pipeline.config.run_config import RunConfig


def load(tmp_path, behaviour: str) -> RunConfig:
    (tmp_path / "b.yaml").write_text(behaviour, encoding="utf-8")
    config = tmp_path / "c.yaml"
    config.write_text(yaml.safe_dump({"name": "n", "source": "s.csv", "behaviour": "b.yaml"}))
    return RunConfig.load(config)


def test_cases_are_a_parameter_with_labels_as_written(tmp_path):
    cases = json.loads(load(tmp_path, "must_be:\n  - {text: Hi, label: no}\n").parameters()["behaviour"])
    assert cases["must_be"] == [{"text": "Hi", "label": "no"}]


@pytest.mark.parametrize(
    ("text", "message"),
    [("must_be: [{text: a}]", r"b\.yaml: must_be\.0\.label: Field required"), ("{}", "has no cases")],
)
def test_unfit_file_is_an_error_before_the_run(tmp_path, text, message):
    with pytest.raises(BerthError, match=message):
        load(tmp_path, text).parameters()


def test_missing_file_is_an_error_before_the_run(tmp_path):
    config = load(tmp_path, "{}")
    (tmp_path / "b.yaml").unlink()
    with pytest.raises(BerthError, match=r"behaviour: .*b\.yaml cannot be read: No such file"):
        config.parameters()
