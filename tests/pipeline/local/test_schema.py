"""`berth schema infer`: what is doubtful about the data is said, as in a run."""

import json

import pytest
from typer.testing import CliRunner

from berth.errors import BerthError
from components.ingest.settings import IngestSettings
from pipeline.cli import app
from pipeline.config.run_config import RunConfig
from pipeline.local import schema


def test_notes_about_the_data_are_warnings(monkeypatch, capsys):
    printed = {"components.ingest": "label: 1 and true\n", "components.validate": "feature {}\n"}
    monkeypatch.setattr(schema, "run_module", lambda image, module, *arguments, **more: printed[module])
    assert schema.infer(RunConfig.model_validate({"name": "a", "source": "a.csv"})) == "feature {}\n"
    assert capsys.readouterr() == ("", "warning label: 1 and true\n")


def test_another_schema_is_kept_unless_forced(monkeypatch, tmp_path):
    config, path = RunConfig.model_validate({"name": "a", "source": "a.csv"}), tmp_path / "schema.pbtxt"
    monkeypatch.setattr(schema, "infer", lambda config: "feature {}\n")
    path.write_text("mine")
    with pytest.raises(BerthError, match="another schema is there"):
        schema.write(config, path, force=False)
    assert path.read_text() == "mine"
    assert schema.write(config, path, force=True).startswith("wrote ")
    assert path.read_text() == "feature {}\n"
    assert schema.write(config, path, force=False).endswith(" is up to date")
    assert [own.name for own in tmp_path.iterdir()] == ["schema.pbtxt"]


def test_no_difference_is_said(monkeypatch, tmp_path):
    (tmp_path / "schema.pbtxt").write_text("feature {}\n")
    (tmp_path / "mine.yaml").write_text("name: mine\nsource: a.csv\nschema: schema.pbtxt\n")
    monkeypatch.setattr(schema, "infer", lambda config: "feature {}\n")
    monkeypatch.setattr(schema, "run_module", lambda *arguments: "\n")
    done = CliRunner().invoke(app.app, ["schema", "diff", str(tmp_path / "mine.yaml")])
    assert (done.exit_code, done.output) == (0, "no difference\n")


def test_ingest_takes_the_parameters_of_a_configuration():
    """As `python -m components.ingest` gets them: also those that are not set."""
    config = RunConfig.model_validate({"name": "a", "source": "a.csv"})
    settings = IngestSettings.model_validate_json(json.dumps(config.parameters()))
    assert (settings.source.files, settings.corrections) == ("a.csv", None)
