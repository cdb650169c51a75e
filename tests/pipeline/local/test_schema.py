"""`berth schema infer`: what is doubtful about the data is said, as in a run."""

import json

from components.ingest.settings import IngestSettings
from pipeline.config.run_config import RunConfig
from pipeline.local import schema


def test_notes_about_the_data_are_warnings(monkeypatch, capsys):
    printed = {"components.ingest": "label: 1 and true\n", "components.validate": "feature {}\n"}
    monkeypatch.setattr(schema, "run_module", lambda image, module, *arguments, **more: printed[module])
    assert schema.infer(RunConfig.model_validate({"name": "a", "source": "a.csv"})) == "feature {}\n"
    assert capsys.readouterr() == ("", "warning label: 1 and true\n")


def test_ingest_takes_the_parameters_of_a_configuration():
    """As `python -m components.ingest` gets them: also those that are not set."""
    config = RunConfig.model_validate({"name": "a", "source": "a.csv"})
    settings = IngestSettings.model_validate_json(json.dumps(config.parameters()))
    assert (settings.source.files, settings.corrections) == ("a.csv", None)
