"""Exclusive locks in an object store: an object that its owner renews, and that lapses when the owner dies."""

import contextlib
import threading
import time
import uuid
from collections.abc import Iterator
from typing import TYPE_CHECKING

from berth.storage.locks import LockTimeout

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem

LAPSES = 60.0
"""Seconds without a renewal after which another process may take a lock."""
_RENEWALS = 4
"""Renewals in that time."""
_PAUSE_SECONDS = 0.5
_TRIES = 3
"""How often creating a lock may fail in a row without there being one: then that is not why."""


@contextlib.contextmanager
def leased(store: "AbstractFileSystem", path: str, timeout: float) -> Iterator[None]:
    """Hold the lock at `path`, which is there as long as it is held.

    Creating an object that must not exist yet is atomic in Amazon S3, MinIO and Google Cloud Storage. In a store that
    does not know this condition, the lock keeps nobody out. No clock is compared with another machine's: a lock has
    lapsed when its content has not changed for as long as somebody waits for it.

    Raises:
        LockTimeout: another process has renewed it for all of `timeout` seconds.
        Exception: the store's own, where it cannot be reached or refuses to write.

    Example:
        >>> with leased(store_of("s3://models"), "models/sms/.lock", timeout=60):
        ...     publish()
    """
    owner = uuid.uuid4().hex
    _wait(store, path, owner, timeout)
    ended = threading.Event()
    renewal = threading.Thread(target=_renew, args=(store, path, owner, ended), daemon=True)
    renewal.start()
    try:
        yield
    finally:
        ended.set()
        renewal.join()
        with contextlib.suppress(Exception):  # what cannot be removed lapses
            if _read(store, path).startswith(owner):  # else it has lapsed, and is another's
                store.rm_file(path)


def _wait(store: "AbstractFileSystem", path: str, owner: str, timeout: float) -> None:
    start = seen_at = time.monotonic()
    seen = ""
    while not _take(store, path, owner):
        now = time.monotonic()
        if now - start >= timeout:
            raise LockTimeout
        if (found := _read(store, path)) != seen:
            seen, seen_at = found, now
        elif now - seen_at >= LAPSES:
            with contextlib.suppress(FileNotFoundError):
                store.rm_file(path)
            continue
        time.sleep(_PAUSE_SECONDS)


def _take(store: "AbstractFileSystem", path: str, owner: str, tries: int = _TRIES) -> bool:
    """Create the lock; return whether it is ours, and raise what the store raises for another reason."""
    try:
        store.pipe_file(path, _content(owner), mode="create")
    except Exception:  # each store has its own error for an object that is there
        if _read(store, path):
            return False
        if tries == 1:
            raise
        return _take(store, path, owner, tries - 1)  # it was released meanwhile, or that was not the reason
    return _read(store, path).startswith(owner)


def _renew(store: "AbstractFileSystem", path: str, owner: str, ended: threading.Event) -> None:
    while not ended.wait(LAPSES / _RENEWALS):
        with contextlib.suppress(Exception):  # the next renewal may succeed before the lock lapses
            if _read(store, path).startswith(owner):
                store.pipe_file(path, _content(owner))


def _content(owner: str) -> bytes:
    return f"{owner} {time.time_ns()}".encode()


def _read(store: "AbstractFileSystem", path: str) -> str:
    """Return what is in the lock, empty where there is none."""
    try:
        return str(store.cat_file(path).decode(errors="replace"))
    except FileNotFoundError:
        return ""
