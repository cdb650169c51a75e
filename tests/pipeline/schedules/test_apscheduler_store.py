"""Schedules that the code before this layout stored: fixtures/apscheduler.db was made by its `berth schedule --local`.

It has `weekly`, which is paused, `quarterly`, which has a start and an end, and `nightly`, which has neither.
"""

import contextlib
import os
import pickle
import shutil
import sqlite3
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from pipeline.schedules import store
from tests.support.cluster_calls import one_line
from tests.support.schedules import plan

FIXTURE = Path(__file__).parent / "fixtures" / "apscheduler.db"
BERTH = Path(sys.executable).with_name("berth")


@pytest.fixture
def old(folder) -> Path:
    """The old store, in a working folder."""
    path = folder / ".berth" / "schedules.db"
    path.parent.mkdir()
    shutil.copyfile(FIXTURE, path)
    return path


def test_old_schedules_are_kept_with_their_state(old):
    nightly, quarterly, weekly = store.schedules().values()
    assert (nightly.name, nightly.cron, nightly.config) == ("nightly", "0 2 * * *", "config.yaml")
    assert nightly.next_time == datetime(2026, 11, 29, 2, tzinfo=UTC)
    assert (nightly.start, nightly.end) == (None, None)
    assert (quarterly.name, quarterly.cron) == ("quarterly", "30 4 1 1,4,7,10 *")
    assert quarterly.start == datetime(2040, 1, 31, 2, tzinfo=UTC)
    assert quarterly.end == datetime(2090, 12, 31, tzinfo=UTC)
    assert (weekly.name, weekly.cron, weekly.next_time) == ("weekly", "0 3 * * 1", None)


def test_the_list_shows_old_schedules_as_it_did(old, call, monkeypatch):
    monkeypatch.setenv("COLUMNS", "120")
    lines = [" ".join(line.split()) for line in call("schedules", "list", "--local").out.splitlines()]
    assert lines == [
        "schedule cron (UTC) state next (UTC) configuration",
        "nightly 0 2 * * * active 2026-11-29 02:00 config.yaml",
        "quarterly 30 4 1 1,4,7,10 * active 2040-04-01 04:30 config.yaml",
        "weekly 0 3 * * 1 paused - config.yaml",
    ]


def test_the_old_store_is_moved_aside_and_read_once(old):
    content = old.read_bytes()
    first = store.schedules()
    assert not old.exists()
    assert old.with_suffix(".db.old").read_bytes() == content
    with store.changed() as schedules:
        del schedules["weekly"]
    assert sorted(store.schedules()) == sorted(set(first) - {"weekly"})


def test_a_migration_that_was_cut_off_is_done_again(old):
    """A process that was killed before it moved the old store has written ours already."""
    first = store.schedules()
    shutil.copyfile(FIXTURE, old)
    with store.changed() as schedules:
        schedules["nightly"] = schedules["nightly"].model_copy(update={"next_time": None})
    assert not old.exists()
    assert {name: row for name, row in store.schedules().items() if name != "nightly"} == {
        name: row for name, row in first.items() if name != "nightly"
    }
    assert store.schedules()["nightly"].next_time is None


def test_a_schedule_of_the_same_name_in_our_store_stays(folder):
    plan("weekly")
    ours = store.schedules()["weekly"]
    shutil.copyfile(FIXTURE, folder / ".berth" / "schedules.db")
    assert sorted(store.schedules()) == ["nightly", "quarterly", "weekly"]
    assert store.schedules()["weekly"] == ours


def test_two_processes_at_once_migrate_once(old, folder):
    command = [BERTH, "schedules", "list", "--local"]
    environment = {**os.environ, "COLUMNS": "120"}
    processes = [
        subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    (first, errors), (second, more_errors) = [process.communicate(timeout=60) for process in processes]
    assert (errors, more_errors) == ("", "")
    assert first == second
    assert len(first.splitlines()) == 4


def test_an_old_store_of_another_user_is_refused(old, call, monkeypatch):
    monkeypatch.setattr(os, "getuid", lambda: 12345)
    assert "schedules.db: belongs to another user" in one_line(call("schedules", "list", "--local"))
    assert old.exists()


def test_an_old_store_without_its_table_has_no_schedules(folder, call):
    (folder / ".berth").mkdir()
    (folder / ".berth" / "schedules.db").touch()
    assert not store.schedules()


def test_a_file_that_is_not_a_database_is_reported(old, call):
    old.write_bytes(b"not a database" * 100)
    error = one_line(call("schedules", "list", "--local"))
    assert "cannot be read (file is not a database)" in error
    assert old.exists()


class _Command:
    def __reduce__(self):
        return os.system, ("touch executed",)


@pytest.mark.parametrize("state", [pickle.dumps(_Command()), pickle.dumps({"next_run_time": None}), b"\x80damaged"])
def test_a_row_that_berth_did_not_write_is_refused_unexecuted(old, call, folder, state):
    with contextlib.closing(sqlite3.connect(old)) as database, database:
        database.execute("UPDATE apscheduler_jobs SET job_state = ? WHERE id = 'weekly'", (state,))
    assert "schedule 'weekly': " in one_line(call("schedules", "list", "--local"))
    assert old.exists()
    assert not (folder / "executed").exists()
