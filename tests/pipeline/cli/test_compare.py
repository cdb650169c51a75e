"""berth compare and runs: two runs side by side, and a table of them."""

import pytest

from berth.errors import BerthError
from berth.tracking import pipeline_run, tags
from pipeline.display import runs
from tests.support.model_commands import berth


@pytest.fixture
def two_runs(store) -> list[str]:
    for number, name in enumerate(("sms-spam-20260101-000000", "sms-spam-20260102-000000")):
        run_id = pipeline_run.create_parent("compared", name, {tags.KFP_RUN_ID: str(number)})
        store.client.log_metric(run_id, "accuracy", 0.9 + number / 100)
        store.client.log_metric(run_id, f"only_{number}", 1)
        store.client.log_param(run_id, "epochs", str(number + 1))
        store.client.log_param(run_id, "seed", "0")
        store.client.log_param(run_id, "encoder", "[red]a/very/long/name/" * 6 if number else "minilm")
        store.client.set_tag(run_id, tags.VERDICT, "BLESSED" if number else "NOT BLESSED: x")
        store.client.set_terminated(run_id)
    return ["sms-spam-20260101-000000", run_id]


def test_compare_shows_metrics_and_only_differing_parameters(two_runs, tmp_path):
    """Metrics stand side by side."""
    done = berth("compare", *two_runs, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert all(len(line) <= 80 for line in done.stdout.splitlines())
    rows = [line.split() for line in done.stdout.splitlines()]
    assert ["metric", "sms-spam-20260101-000000", "sms-spam-20260102-000000", "difference"] in rows
    assert ["accuracy", "0.9000", "0.9100", "+0.0100"] in rows
    assert ["only_0", "1.0000"] in rows
    assert ["epochs", "1", "2"] in rows
    assert not any("seed" in row for row in rows)
    assert "[red]a/very" in done.stdout
    assert ["NOT", "BLESSED", "BLESSED"] in rows


def test_runs_names_every_run_whole_in_80_columns(two_runs):
    from rich.console import Console

    console = Console(width=80, record=True)
    console.print(runs.runs_table("compared", 2))
    lines = console.export_text().splitlines()
    assert all(len(line) <= 80 for line in lines)
    assert [line.split()[0] for line in lines[1:]] == ["sms-spam-20260102-000000", "sms-spam-20260101-000000"]
    assert "NOT BLESSED" in lines[2]


def test_compare_says_which_run_there_is_not_and_suggests(two_runs, tmp_path):
    done = berth("compare", "sms-spam-20260101-000001", two_runs[1], cwd=tmp_path)
    assert done.returncode == 1
    assert done.stderr.startswith(
        "error: no run has the name or id 'sms-spam-20260101-000001'. Did you mean 'sms-spam-20260101-000000'?"
    )
    for odd in ("it's", "a\"b'c", "0" * 32):
        with pytest.raises(BerthError, match="no run has the name or id"):
            runs.comparison(odd, two_runs[1])
