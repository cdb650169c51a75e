"""Schedules that an older Berth stored with APScheduler in .berth/schedules.db, read as plain data.

The rows are pickles, and name classes that no longer exist. They are read without those classes, and without what makes
a pickle dangerous: of all names in it only six resolve, to a bare namespace or to a part of datetime.
"""

import io
import pickle
import sqlite3
from contextlib import closing
from datetime import datetime, timedelta, timezone
from pathlib import Path
from types import SimpleNamespace

from berth.errors import BerthError
from pipeline.schedules.local_schedule import LocalSchedule

_NAMES: dict[tuple[str, str], type] = {
    ("pipeline.scheduler", "CronTrigger"): SimpleNamespace,
    ("pipeline.cron", "When"): SimpleNamespace,
    ("pipeline.cron", "Cron"): SimpleNamespace,
    ("datetime", "datetime"): datetime,
    ("datetime", "timedelta"): timedelta,
    ("datetime", "timezone"): timezone,
}


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> type:
        if (module, name) not in _NAMES:
            raise pickle.UnpicklingError(f"names {module}.{name}")
        return _NAMES[module, name]


def read(path: Path) -> list[LocalSchedule]:
    """Return the schedules in the store at `path`.

    A store in which no table has been made has no schedules.

    Raises:
        BerthError: the file cannot be read, or a row is not a schedule that Berth wrote.
    """
    try:
        # rw, not ro: what a killed writer left in a journal has to be rolled back. It never makes the file.
        with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=rw", uri=True)) as store:
            if not store.execute("SELECT 1 FROM sqlite_master WHERE name = 'apscheduler_jobs'").fetchone():
                return []
            rows = store.execute("SELECT id, job_state FROM apscheduler_jobs ORDER BY id").fetchall()
    except sqlite3.Error as error:
        raise _unreadable(path, str(error)) from None
    return [_schedule(path, name, state) for name, state in rows]


def _schedule(path: Path, name: str, state: bytes) -> LocalSchedule:
    try:
        job = _Unpickler(io.BytesIO(state)).load()
        when, (_, config, folder) = job["trigger"].when, job["args"]
        below = Path(config).is_relative_to(folder)
        return LocalSchedule(
            name=name,
            cron=when.cron.text,
            start=when.start,
            end=when.end,
            config=str(Path(config).relative_to(folder)) if below else config,
            next_time=job["next_run_time"],
        )
    except Exception as error:  # a damaged pickle raises almost anything
        raise _unreadable(path, f"schedule {name!r}: {type(error).__name__}: {error}") from None


def _unreadable(path: Path, reason: str) -> BerthError:
    return BerthError(
        f"{path}: the schedules of an older Berth cannot be read ({reason}). Move the file away, and make them again: "
        "berth schedule."
    )
