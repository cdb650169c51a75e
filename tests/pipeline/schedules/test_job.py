"""One retraining and the lock that holds back the next."""

import subprocess
from pathlib import Path

import pytest

from berth.storage.locks import LockTimeout, locked
from pipeline.schedules import job
from pipeline.schedules.daemon import Scheduler
from tests.support.schedules import logs, miss, next_time, plan, replace_berth


def test_a_run_waits_for_one_that_outlived_its_scheduler(folder, monkeypatch, tmp_path):
    replace_berth(monkeypatch, tmp_path, "exit 0")
    plan()
    miss("sms-spam")
    due = next_time("sms-spam")
    scheduler = Scheduler()
    with locked(folder / ".berth" / "running.lock") as descriptor:
        survivor = subprocess.Popen(["sleep", "60"], pass_fds=[descriptor])
    scheduler.look()
    assert not logs(folder)
    assert next_time("sms-spam") == due
    survivor.kill()
    survivor.wait()
    scheduler.look()
    assert len(logs(folder)) == 1
    scheduler.stop()


def test_a_run_inherits_the_lock_that_holds_back_the_next(folder, monkeypatch, tmp_path):
    replace_berth(monkeypatch, tmp_path, "exec sleep 60")
    started = job.start("a", "config.yaml")
    inherited = [str(link.readlink()) for link in Path(f"/proc/{started.process.pid}/fd").iterdir()]
    assert str(folder / ".berth" / "running.lock") in inherited
    with pytest.raises(LockTimeout), locked(folder / ".berth" / "running.lock", timeout=0):
        pass
    assert job.start("b", "config.yaml") is None
    started.process.kill()
    started.process.wait()
    following = job.start("b", "config.yaml")
    assert following is not None
    following.stop(20)


def test_the_outcome_quotes_the_last_line_without_credentials(folder, monkeypatch, tmp_path):
    replace_berth(monkeypatch, tmp_path, "echo first; echo 'error: http://me:secret@host refused'; echo; exit 3")
    started = job.start("a", "config.yaml")
    started.process.wait(20)
    assert started.outcome() == "a: exit code 3 after 0 s: error: http://host refused"
