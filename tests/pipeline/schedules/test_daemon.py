"""The scheduler's decisions, by a clock of the test; runs are scripts that stand for `berth`."""

import datetime
import time

import pytest

from pipeline.schedules import job, local, store
from pipeline.schedules.daemon import Scheduler
from tests.support.schedules import UTC, logs, miss, next_time, plan, replace_berth

HOLD = "until test -e release; do sleep 0.02; done"


@pytest.fixture
def scheduler(folder) -> Scheduler:
    return Scheduler()


def look_until(scheduler: Scheduler, said: str, capsys: pytest.CaptureFixture[str]) -> str:
    """Let the scheduler look until it prints `said`; return all that it has printed."""
    printed = ""
    deadline = time.monotonic() + 20
    while said not in printed:
        assert time.monotonic() < deadline, printed
        scheduler.look()
        printed += capsys.readouterr().out
        time.sleep(0.02)
    return printed


def test_a_schedule_that_is_not_due_does_not_run(scheduler, folder, capsys):
    plan()
    scheduler.look()
    assert not logs(folder)
    assert capsys.readouterr().out == ""


def test_a_schedule_runs_when_its_time_comes(folder, monkeypatch, tmp_path, capsys):
    plan()
    due = next_time("sms-spam")
    now = [due - datetime.timedelta(seconds=1)]
    scheduler = Scheduler(lambda: now[0])
    replace_berth(monkeypatch, tmp_path, 'echo "$@"')
    scheduler.look()
    assert not logs(folder)
    now[0] = due
    look_until(scheduler, "sms-spam: done after 0 s", capsys)
    assert logs(folder)[0].read_text() == f"run --scheduled {folder / 'config.yaml'}\n"
    assert next_time("sms-spam") > due


def test_many_missed_times_are_one_run(scheduler, folder, monkeypatch, tmp_path, capsys):
    plan()
    miss("sms-spam", hours=24 * 365 * 20)
    replace_berth(monkeypatch, tmp_path, "exit 0")
    look_until(scheduler, "done", capsys)
    scheduler.look()
    assert capsys.readouterr().out == ""
    assert len(logs(folder)) == 1


def test_a_due_schedule_waits_for_the_run_of_another(scheduler, folder, monkeypatch, tmp_path, capsys):
    replace_berth(monkeypatch, tmp_path, HOLD)
    for name in ("first", "second"):
        plan(name)
    miss("first", hours=2)
    miss("second", hours=1)
    for _ in range(3):
        scheduler.look()
    assert [log.name.partition("-")[0] for log in logs(folder)] == ["first"]
    assert next_time("second") < datetime.datetime.now(UTC)
    (folder / "release").touch()
    printed = look_until(scheduler, "second: done", capsys)
    assert printed.index("first: done") < printed.index("second: started")


def test_a_time_during_its_own_run_is_skipped(scheduler, folder, monkeypatch, tmp_path, capsys):
    replace_berth(monkeypatch, tmp_path, HOLD)
    plan()
    miss("sms-spam")
    scheduler.look()
    miss("sms-spam")
    scheduler.look()
    assert next_time("sms-spam") > datetime.datetime.now(UTC)
    (folder / "release").touch()
    look_until(scheduler, "done", capsys)
    scheduler.look()
    assert len(logs(folder)) == 1


def test_a_schedule_paused_while_it_waits_does_not_run(scheduler, folder, monkeypatch, tmp_path, capsys):
    replace_berth(monkeypatch, tmp_path, HOLD)
    plan("first")
    miss("first", hours=2)
    plan("second")
    miss("second", hours=1)
    scheduler.look()
    local.pause("second")
    (folder / "release").touch()
    look_until(scheduler, "first: done", capsys)
    scheduler.look()
    assert len(logs(folder)) == 1


def test_a_schedule_without_a_next_time_is_removed(scheduler, folder, monkeypatch, tmp_path, capsys):
    replace_berth(monkeypatch, tmp_path, "exit 0")
    plan()
    miss("sms-spam")
    with store.changed() as schedules:
        end = datetime.datetime.now(UTC)
        schedules["sms-spam"] = schedules["sms-spam"].model_copy(update={"end": end})
    look_until(scheduler, "done", capsys)
    assert not store.schedules()


def test_a_run_that_cannot_be_started_is_reported(scheduler, folder, monkeypatch, tmp_path, capsys):
    monkeypatch.setattr("sys.executable", str(tmp_path / "absent" / "python3"))
    plan()
    miss("sms-spam")
    scheduler.look()
    assert "sms-spam: cannot be started (No such file or directory)" in capsys.readouterr().out
    assert next_time("sms-spam") > datetime.datetime.now(UTC)


def test_stopping_ends_the_run_the_way_that_ctrl_c_does(scheduler, folder, monkeypatch, tmp_path, capsys):
    replace_berth(monkeypatch, tmp_path, "trap 'echo closing; exit 130' TERM\necho up\nwhile :; do sleep 0.1; done")
    plan()
    miss("sms-spam")
    scheduler.look()
    while "up" not in logs(folder)[0].read_text():
        time.sleep(0.02)
    scheduler.stop()
    assert logs(folder)[0].read_text().splitlines()[-1] == "closing"
    assert "sms-spam: exit code 130 after 0 s: closing" in capsys.readouterr().out


def test_a_run_that_does_not_end_is_killed(scheduler, folder, monkeypatch, tmp_path, capsys):
    replace_berth(monkeypatch, tmp_path, "trap '' TERM\necho up\nwhile :; do sleep 0.1; done")
    monkeypatch.setattr("pipeline.schedules.daemon._GOODBYE", 0.2)
    plan()
    miss("sms-spam")
    scheduler.look()
    while "up" not in logs(folder)[0].read_text():
        time.sleep(0.02)
    scheduler.stop()
    assert "sms-spam: exit code -9" in capsys.readouterr().out


def test_a_stopped_scheduler_without_a_run_prints_nothing(scheduler, capsys):
    scheduler.stop()
    assert capsys.readouterr().out == ""


def test_a_pretraining_configuration_is_pretrained(folder, monkeypatch, tmp_path):
    plan()
    (folder / "config.yaml").write_text("pipeline: pretraining\nname: town\nsource: corpus.txt\n")
    replace_berth(monkeypatch, tmp_path, 'echo "$@"')
    started = job.start("sms-spam", "config.yaml")
    started.process.wait()
    assert started.log.read_text() == f"pretrain {folder / 'config.yaml'}\n"
