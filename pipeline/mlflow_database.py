"""The MLflow store of a working folder, .berth/mlflow.db: made whole or not at all, and moved along with its folder."""

import contextlib
import shutil
import sqlite3
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote, urlsplit

from berth.errors import BerthError, first_line, printable
from berth.storage.durable import sync
from berth.storage.locks import LockTimeout, locked
from berth.tracking import sqlite_store, tags

_TIMEOUT_SECONDS = 600
"""Seconds to wait for another process that makes the store or lets it follow a move."""
_BUSY_SECONDS = 60
"""Seconds that SQLite waits while another process writes."""
_LOCATIONS = (
    ("experiments", "artifact_location", "true"),
    ("runs", "artifact_uri", "true"),
    ("logged_models", "artifact_location", "true"),
    ("model_versions", "source", "true"),
    ("model_versions", "storage_location", "true"),
    ("model_version_tags", "value", "key = :folder"),
    ("tags", "value", "key = :dataset"),
)
"""Where MLflow and Berth store absolute paths that they write to or read from: table, column, and which rows."""


def prepare(home: Path) -> Path:
    """Return the MLflow store in `home`, which is made if need be and follows where its folder has been moved.

    MLflow writes absolute paths into its store: after a move or in a copy they would be those of the old place.

    Raises:
        BerthError: the store cannot be made, read or written.
    """
    home = home.resolve()
    file = home / "mlflow.db"
    if file.exists() and not _former_homes(file):
        return file
    with _lock(home):
        if not file.exists():
            _make(file)
        for former in _former_homes(file):
            _follow(file, former)
    return file


@contextlib.contextmanager
def _lock(home: Path) -> Iterator[None]:
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(locked(home / "mlflow.lock", _TIMEOUT_SECONDS))
        except LockTimeout:
            raise BerthError(
                f"{home / 'mlflow.db'}: another process has been making it for {_TIMEOUT_SECONDS} s. See who holds "
                "mlflow.lock in that folder."
            ) from None
        yield


def _make(file: Path) -> None:
    """Let MLflow make the store under another name: two processes, or one that is killed, would leave half of it."""
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore
    from sqlalchemy import event
    from sqlalchemy.engine import Engine
    from sqlalchemy.exc import SQLAlchemyError

    def write_without_waiting(connection: sqlite3.Connection, _: object) -> None:
        connection.execute("PRAGMA synchronous = OFF")  # of each migration; the whole is synced at the end

    made = file.with_name("mlflow.db.new")
    try:
        for left in file.parent.glob(f"{made.name}*"):  # of a process that was killed, with its journal
            left.unlink()
        event.listen(Engine, "connect", write_without_waiting)
        try:
            store = SqlAlchemyStore(sqlite_store.uri_of(made), (file.parent / "artifacts").as_uri())
        finally:
            event.remove(Engine, "connect", write_without_waiting)
        store.engine.dispose()
        sync(made)
        made.rename(file)
        sync(file.parent)
    except (SQLAlchemyError, OSError) as error:
        raise BerthError(f"{file}: cannot be made ({first_line(error)}). Make room, or run berth elsewhere.") from None


def _former_homes(file: Path) -> list[Path]:
    """Return the folders in which the store was when it wrote its paths, if they are not the one it is in."""
    with _open(file) as database:
        try:
            rows = database.execute("SELECT artifact_location FROM experiments").fetchall()
        except sqlite3.OperationalError:  # MLflow has not made its tables
            return []
    homes = dict.fromkeys(found for (location,) in rows if (found := _home_of(location)))
    return [home for home in homes if home != file.parent]


def _home_of(location: str | None) -> Path | None:
    """Return the folder of the store whose artifacts are at `location`; None where Berth has not chosen that."""
    parts = urlsplit(location or "")
    path = Path(unquote(parts.path))
    if parts.scheme != "file":
        return None
    if path.parts[-2:] == ("artifacts", "0"):  # MLflow's own experiment, in a store that `_make` has made
        return path.parents[1]
    return path.parent if path.parts[-2:] == (".berth", "artifacts") else None


def _follow(file: Path, former: Path) -> None:
    """Rewrite the paths that were below the former place; the step cache's keys hold paths too, so it is emptied."""
    old, new = former, file.parent
    if old.name == new.name == ".berth":
        old, new = old.parent, new.parent  # a serving folder next to .berth/ has been moved, or copied, too
    print(f"moved from {printable(str(old))}: the MLflow store follows; steps run again once", file=sys.stderr)
    shutil.rmtree(file.parent / "cache", ignore_errors=True)  # first: if this process is killed, all is done again
    with _open(file) as database, database:
        for table, column, rows in _LOCATIONS:
            for before, after in ((old.as_uri(), new.as_uri()), (str(old), str(new))):
                database.execute(
                    f"UPDATE {table} SET {column} = :after || substr({column}, length(:before) + 1) "
                    f"WHERE substr({column}, 1, length(:before) + 1) = :before || '/' AND {rows}",
                    {"before": before, "after": after, "folder": tags.SERVING_FOLDER, "dataset": tags.DATASET},
                )


@contextlib.contextmanager
def _open(file: Path) -> Iterator[sqlite3.Connection]:
    try:
        # rw, not ro: what a killed writer left in a journal has to be rolled back. It never makes the file.
        with contextlib.closing(
            sqlite3.connect(f"{file.as_uri()}?mode=rw", uri=True, timeout=_BUSY_SECONDS)
        ) as database:
            yield database
    except sqlite3.Error as error:
        raise BerthError(f"{file}: cannot be read or written ({error}). Restore it, or remove it.") from None
