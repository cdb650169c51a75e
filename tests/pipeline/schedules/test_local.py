"""`berth schedule --local` and `berth scheduler`: real processes, a real store, and runs that end at once.

The runs are real calls of `berth run`, with a configuration that it refuses: what a run does is tested elsewhere.
"""

import contextlib
import datetime
import fcntl
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pipeline.schedules import cron, local
from tests.support.cluster_calls import one_line

BERTH = Path(sys.executable).with_name("berth")
UTC = datetime.UTC


@pytest.fixture
def plan(call, folder):
    """Keep a schedule that is not due for years unless a test says so, whose runs fail at once."""
    (folder / "config.yaml").write_text("name: sms-spam\n")

    def plan(name: str = "sms-spam") -> None:
        local.put(name, cron.when("0 0 29 2 *"), folder / "config.yaml")

    return plan


@pytest.fixture
def serve(folder) -> Iterator[Callable[[], subprocess.Popen[str]]]:
    """Start `berth scheduler` as a process of its own."""
    started: list[subprocess.Popen[str]] = []

    def serve() -> subprocess.Popen[str]:
        process = subprocess.Popen([BERTH, "scheduler"], cwd=folder, stdout=subprocess.PIPE, stderr=2, text=True)
        started.append(process)
        assert "schedules of .berth/schedules.db" in process.stdout.readline()
        return process

    yield serve
    for process in started:
        process.kill()
        process.wait()


def miss(name: str, hours: float = 3) -> None:
    """Let the schedule's next time be one that is past."""
    with local._store() as store:
        store.get_job(name).modify(next_run_time=datetime.datetime.now(UTC) - datetime.timedelta(hours=hours))


def next_time(name: str) -> datetime.datetime:
    with local._store() as store:
        return store.get_job(name).next_run_time


def logs(folder: Path) -> list[Path]:
    return sorted((folder / ".berth" / "logs" / "scheduler").glob("*.log"))


def test_a_local_schedule_is_kept_listed_paused_resumed_and_deleted(call, folder):
    (folder / "config.yaml").write_text("name: sms-spam\nsource: messages.tsv\n")
    made = call("schedule", "config.yaml", "--cron", "0 3 * * 7", "--local")
    assert made.code == 0, made.err
    assert made.out.count("  next Sun ") == 3
    (row,) = call("schedules", "list", "--local").out.splitlines()[1:]
    assert row.split()[:7] == ["sms-spam", "0", "3", "*", "*", "7", "active"]
    assert row.endswith("03:00  config.yaml") or "config.yaml" in row
    assert "replaced" in call("schedule", "config.yaml", "--cron", "0 4 * * *", "--local").out
    assert call("schedules", "pause", "sms-spam", "--local").code == 0
    assert "paused" in call("schedules", "list", "--local").out
    assert call("schedules", "resume", "sms-spam", "--local").code == 0
    assert next_time("sms-spam") > datetime.datetime.now(UTC)
    assert "Did you mean 'sms-spam'?" in one_line(call("schedules", "pause", "smsspam", "--local"))
    assert call("schedules", "delete", "sms-spam", "--local").code == 0
    assert len(call("schedules", "list", "--local").out.splitlines()) == 1


def test_what_was_missed_is_made_up_for_once_also_after_the_scheduler_was_killed(plan, serve, folder):
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


def test_a_second_scheduler_in_a_folder_is_refused_and_sigterm_ends_the_first(plan, serve, call):
    first = serve()
    assert "a scheduler is running in this folder already" in one_line(call("scheduler"))
    first.terminate()
    assert first.wait(20) == 130


def test_the_store_is_whole_before_the_scheduler_says_that_it_runs(folder, monkeypatch):
    tables: list[list[str]] = []

    def look(_: object) -> None:
        with contextlib.closing(sqlite3.connect(folder / ".berth" / "schedules.db")) as store:
            tables.append([name for (name,) in store.execute("select name from sqlite_master where type = 'table'")])

    monkeypatch.setattr(local, "_say", look)
    monkeypatch.setattr(local._Scheduler, "start", lambda self: None)
    try:
        local.serve()
    finally:
        local._stopping.clear()
    assert tables == [["apscheduler_jobs"]]


def test_a_schedule_made_or_paused_while_the_scheduler_runs_is_seen(plan, serve, folder):
    process = serve()
    plan("first")
    plan("second")
    with local._store() as store:
        store.get_job("second").pause()
    miss("first")
    assert "first: started" in process.stdout.readline()
    process.stdout.readline()
    assert not [log for log in logs(folder) if log.name.startswith("second")]


def test_runs_wait_for_one_another_even_for_one_that_has_outlived_its_scheduler(plan, folder):
    plan()
    survivor = subprocess.Popen(
        [sys.executable, "-c", "import fcntl, time; f = open('.berth/running.lock', 'w'); fcntl.flock(f, 2); "
         "print('held', flush=True); time.sleep(60)"],
        cwd=folder, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    survivor.stdout.readline()
    thread = threading.Thread(
        target=local.retrain, args=["sms-spam", str(folder / "config.yaml"), str(folder)], daemon=True
    )
    thread.start()
    time.sleep(0.5)
    assert not logs(folder)
    survivor.kill()
    thread.join(30)
    assert len(logs(folder)) == 1


def test_a_run_inherits_the_lock_that_holds_back_the_next(plan, folder, monkeypatch, tmp_path):
    sleeper = tmp_path / "bin" / "berth"
    sleeper.parent.mkdir()
    sleeper.write_text("#!/bin/sh\nexec sleep 60\n")
    sleeper.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(sleeper.with_name("python3")))
    thread = threading.Thread(target=local.retrain, args=["a", "config.yaml", str(folder)], daemon=True)
    thread.start()
    while not local._running:
        time.sleep(0.02)
    (process,) = local._running
    inherited = [str(link.readlink()) for link in Path(f"/proc/{process.pid}/fd").iterdir()]
    assert str(folder / ".berth" / "running.lock") in inherited
    with (folder / ".berth" / "running.lock").open("w") as lock, pytest.raises(BlockingIOError):
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    process.kill()
    thread.join(20)


def test_stopping_the_scheduler_ends_its_run_the_way_that_ctrl_c_does(plan, folder, monkeypatch, tmp_path):
    script = tmp_path / "bin" / "berth"
    script.parent.mkdir()
    script.write_text("#!/bin/sh\ntrap 'echo closing; exit 130' TERM\necho up\nwhile :; do sleep 0.1; done\n")
    script.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(script.with_name("python3")))
    thread = threading.Thread(target=local.retrain, args=["a", "config.yaml", str(folder)], daemon=True)
    thread.start()
    while not (logs(folder) and "up" in logs(folder)[0].read_text()):
        time.sleep(0.02)
    try:
        local._stop(local._Scheduler())
    finally:
        local._stopping.clear()
    thread.join(20)
    assert logs(folder)[0].read_text().splitlines()[-1] == "closing"


def test_a_store_of_another_user_is_refused(plan, call, monkeypatch):
    plan()
    monkeypatch.setattr(os, "getuid", lambda: 12345)
    assert "belongs to another user" in one_line(call("schedules", "list", "--local"))
