"""`berth schema infer`: what is doubtful about the data is said, as in a run."""

from pipeline.config.run_config import RunConfig
from pipeline.local import schema


def test_notes_about_the_data_are_warnings(monkeypatch, capsys):
    printed = {"components.ingest": "label: 1 and true\n", "components.validate": "feature {}\n"}
    monkeypatch.setattr(schema, "run_module", lambda image, module, *arguments, **more: printed[module])
    assert schema.infer(RunConfig.model_validate({"name": "a", "source": "a.csv"})) == "feature {}\n"
    assert capsys.readouterr() == ("", "warning label: 1 and true\n")
