"""The schedules of a folder: rows of plain data in .berth/schedules.json, changed under one lock and replaced whole."""

import contextlib
import json
import os
from collections.abc import Iterator
from pathlib import Path

import pydantic

from berth.errors import BerthError
from berth.storage.locks import LockTimeout, locked
from pipeline import home
from pipeline.schedules import apscheduler_store
from pipeline.schedules.local_schedule import LocalSchedule

_TIMEOUT_SECONDS = 60
"""Seconds to wait for another command that changes the schedules; a change takes milliseconds."""


class _File(pydantic.BaseModel, frozen=True, extra="forbid"):
    schedules: list[LocalSchedule]


def path() -> Path:
    """Return the file that holds the schedules of this folder."""
    return home.writable_home() / "schedules.json"


def schedules() -> dict[str, LocalSchedule]:
    """Return the schedules of this folder by name, the next one first and paused ones last.

    Raises:
        BerthError: they cannot be read, or are another user's.
    """
    if _old_path().exists():
        with changed():
            pass  # takes the old ones over
    return _read()


@contextlib.contextmanager
def changed() -> Iterator[dict[str, LocalSchedule]]:
    """Give the schedules by name, to change; they are written when the context ends without an error.

    Raises:
        BerthError: they cannot be read or written, or are another user's.
    """
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(locked(home.writable_home() / "schedules.lock", _TIMEOUT_SECONDS))
        except LockTimeout:
            raise BerthError(
                f"{path()}: another process has been changing the schedules for {_TIMEOUT_SECONDS} s. See who holds "
                "schedules.lock in that folder."
            ) from None
        except OSError as error:
            raise _unwritable(error) from None
        _take_over()
        rows = _read()
        before = dict(rows)
        yield rows
        if rows != before:
            _write(rows)


def _take_over() -> None:
    """Move what an older Berth has stored with APScheduler to our file; that of a name that is there stays."""
    old = _old_path()
    if not old.exists():
        return
    _check_owner(old)
    _write({row.name: row for row in apscheduler_store.read(old)} | _read())
    try:
        old.rename(old.with_suffix(".db.old"))
    except OSError as error:
        raise _unwritable(error) from None


def _old_path() -> Path:
    return home.writable_home() / "schedules.db"


def _read() -> dict[str, LocalSchedule]:
    file = path()
    if not file.exists():
        return {}
    _check_owner(file)
    try:
        rows = _File.model_validate_json(file.read_bytes()).schedules
    except (OSError, pydantic.ValidationError) as error:
        reason = error.strerror if isinstance(error, OSError) else error.errors()[0]["msg"]
        raise BerthError(
            f"{file}: cannot be read ({reason}). Correct it, or remove it and make the schedules again: berth schedule."
        ) from None
    rows.sort(key=lambda row: (row.next_time is None, row.next_time, row.name))
    return {row.name: row for row in rows}


def _write(rows: dict[str, LocalSchedule]) -> None:
    file = path()
    made = file.with_suffix(".json.new")  # one name is enough: only who holds the lock writes
    text = json.dumps({"schedules": [row.model_dump(mode="json") for row in rows.values()]}, indent=1)
    try:
        with made.open("w", encoding="utf-8") as stream:
            stream.write(f"{text}\n")
            stream.flush()
            os.fsync(stream.fileno())
        made.replace(file)
    except OSError as error:
        made.unlink(missing_ok=True)
        raise _unwritable(error) from None


def _check_owner(file: Path) -> None:
    """Raise unless the file is one's own: who writes it chooses what runs as the user of the scheduler."""
    if file.stat().st_uid != os.getuid():
        raise BerthError(f"{file}: belongs to another user. Run berth in a folder of your own.")


def _unwritable(error: OSError) -> BerthError:
    return BerthError(
        f"{path()}: cannot be written ({error.strerror}). Make room, or run berth in a folder of your own."
    )
