"""`berth schedule --local` and `berth scheduler`: real processes, a real store, and runs that end at once.

The runs are real calls of `berth run`, with a configuration that it refuses: what a run does is tested elsewhere.
"""

import datetime
import itertools
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pipeline.schedules import local, store
from tests.support.cluster_calls import one_line
from tests.support.schedules import logs, miss, next_time, plan

BERTH = Path(sys.executable).with_name("berth")
UTC = datetime.UTC


@pytest.fixture
def serve(folder) -> Iterator[Callable[[], "subprocess.Popen[str]"]]:
    """Start `berth scheduler` as a process of its own."""
    started: list[subprocess.Popen[str]] = []

    def serve() -> "subprocess.Popen[str]":
        process = subprocess.Popen([BERTH, "scheduler"], cwd=folder, stdout=subprocess.PIPE, stderr=2, text=True)
        started.append(process)
        assert "schedules of .berth/schedules.json" in process.stdout.readline()
        return process

    yield serve
    for process in started:
        process.kill()
        process.wait()


def test_a_schedule_is_kept_listed_paused_resumed_and_deleted(call, folder):
    (folder / "config.yaml").write_text("name: sms-spam\nsource: messages.tsv\n")
    made = call("schedule", "config.yaml", "--cron", "0 3 * * 7", "--local")
    assert made.code == 0, made.err
    assert made.out.count("  next Sun ") == 3
    (row,) = call("schedules", "list", "--local").out.splitlines()[1:]
    assert row.split()[:7] == ["sms-spam", "0", "3", "*", "*", "7", "active"]
    assert row.rstrip().endswith("03:00 config.yaml")
    assert "replaced" in call("schedule", "config.yaml", "--cron", "0 4 * * *", "--local").out
    assert call("schedules", "pause", "sms-spam", "--local").code == 0
    assert "paused" in call("schedules", "list", "--local").out
    assert call("schedules", "resume", "sms-spam", "--local").code == 0
    assert next_time("sms-spam") > datetime.datetime.now(UTC)
    assert "Did you mean 'sms-spam'?" in one_line(call("schedules", "pause", "smsspam", "--local"))
    assert call("schedules", "delete", "sms-spam", "--local").code == 0
    assert len(call("schedules", "list", "--local").out.splitlines()) == 1


def test_resuming_after_the_end_removes_the_schedule(call, folder):
    plan()
    with store.changed() as schedules:
        past = datetime.datetime.now(UTC) - datetime.timedelta(days=1)
        schedules["sms-spam"] = schedules["sms-spam"].model_copy(update={"end": past, "next_time": None})
    assert "its end is past; it has been removed" in one_line(call("schedules", "resume", "sms-spam", "--local"))
    assert not store.schedules()


def test_schedules_are_listed_by_their_next_time(call, folder):
    for name in ("first", "second", "third"):
        plan(name)
    miss("third", hours=2)
    miss("second", hours=1)
    local.pause("first")
    rows = call("schedules", "list", "--local").out.splitlines()[1:]
    assert [row.split()[0] for row in rows] == ["third", "second", "first"]


def test_missed_times_are_made_up_for_once_also_after_a_kill(serve, folder):
    plan()
    for killed in range(1, 3):
        miss("sms-spam")
        process = serve()
        assert "sms-spam: started" in process.stdout.readline()
        ended = process.stdout.readline()
        assert "sms-spam: exit code 1 after" in ended
        assert "'source' is missing" in ended
        assert len(logs(folder)) == killed
        assert next_time("sms-spam") > datetime.datetime.now(UTC)
        process.send_signal(signal.SIGKILL)
        process.wait()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_second_scheduler_is_refused_and_a_signal_ends_the_first(serve, call, number):
    first = serve()
    assert "a scheduler is running in this folder already" in one_line(call("scheduler"))
    first.send_signal(number)
    assert first.wait(20) == 130


def test_changes_while_the_scheduler_runs_are_seen(serve, folder):
    process = serve()
    plan("first")
    plan("second")
    local.pause("second")
    miss("first")
    assert "first: started" in process.stdout.readline()
    process.stdout.readline()
    assert not [log for log in logs(folder) if log.name.startswith("second")]


def test_a_store_of_another_user_is_refused(call, folder, monkeypatch):
    plan()
    monkeypatch.setattr(os, "getuid", lambda: 12345)
    assert "belongs to another user" in one_line(call("schedules", "list", "--local"))


@pytest.mark.parametrize("text", ["", "{", "[]", '{"schedules": [{"name": "a"}]}'])
def test_a_damaged_store_is_reported_in_one_line(call, folder, text):
    plan()
    store.path().write_text(text)
    assert "schedules.json: cannot be read" in one_line(call("schedules", "list", "--local"))


def test_a_failed_write_leaves_the_old_schedules(call, folder, monkeypatch):
    plan()
    before = store.path().read_bytes()

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    assert "cannot be written (No space left on device)" in one_line(call("schedules", "pause", "sms-spam", "--local"))
    assert store.path().read_bytes() == before
    assert sorted(path.name for path in store.path().parent.iterdir()) == ["schedules.json", "schedules.lock"]


def test_commands_at_once_lose_no_schedule(folder):
    code = "import sys; from tests.support.schedules import plan; [plan(name) for name in sys.argv[1:]]"
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])}
    names = [[f"{process}-{number}" for number in range(10)] for process in "ab"]
    processes = [subprocess.Popen([sys.executable, "-c", code, *each], env=environment) for each in names]
    assert [process.wait(60) for process in processes] == [0, 0]
    assert sorted(store.schedules()) == sorted(itertools.chain(*names))


def test_a_moved_folder_keeps_its_schedules(folder, monkeypatch):
    plan()
    (folder / ".berth").rename(folder / "kept")
    (folder / "moved").mkdir()
    (folder / "kept").rename(folder / "moved" / ".berth")
    monkeypatch.chdir(folder / "moved")
    assert store.schedules()["sms-spam"].config == "config.yaml"
