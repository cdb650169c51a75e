"""berth run's exit code: 3 where it is asked for and the model is not blessed."""

import pytest

from berth.tracking import tags
from pipeline.cli import app


@pytest.mark.parametrize(
    ("verdict", "blessed", "asked", "code"),
    [
        ("NOT BLESSED: min_accuracy 0.5000 < 0.9", False, True, 3),
        ("NOT BLESSED: min_accuracy 0.5000 < 0.9", False, False, 0),
        ("UNCHANGED: data, settings and code are those of m version 1", False, True, 0),
        ("BLESSED", True, True, 0),
    ],
)
def test_a_run_exits_with_3_when_it_is_asked_to_and_not_blessed(
    store, tmp_path, monkeypatch, verdict, blessed, asked, code
):
    from typer.testing import CliRunner

    from pipeline.local import backend, runner

    store.client.set_tag(store.parent, tags.VERDICT, verdict)
    monkeypatch.setattr(backend, "run", lambda *_, **__: runner.Result(store.parent, [], blessed, tmp_path))
    (tmp_path / "c.yaml").write_text("name: m\nsource: s.csv\n")
    done = CliRunner().invoke(app.app, ["run", str(tmp_path / "c.yaml"), *["--fail-if-not-blessed"] * asked])
    assert done.exit_code == code, done.output
    assert verdict.split(":")[0] in done.output
