"""Exclusive locks of files and folders; the system releases them when the process ends, however it ends."""

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator
from pathlib import Path

_PAUSE_SECONDS = 0.1


class LockTimeout(Exception):
    """Another process held the lock for all of the time that there was to wait."""


@contextlib.contextmanager
def locked(path: Path, timeout: float | None = None, *, create: bool = True) -> Iterator[int]:
    """Hold the lock of the file or folder at `path`; give its file descriptor.

    A process that inherits the descriptor holds the lock too, until both have ended or closed it. The file stays:
    if it were removed, two processes could each hold a lock of a file of their own.

    Args:
        path: what to lock; a file is best one that is there for nothing else.
        timeout: seconds to wait while another process holds the lock; 0: do not wait; None: as long as it takes.
        create: make the file if it does not exist; False: it has to exist, and may be a folder.

    Raises:
        LockTimeout: another process holds it and still did after `timeout`.
        OSError: `path` cannot be opened or locked.

    Example:
        >>> with locked(folder / ".lock", timeout=60):
        ...     write(folder)
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT if create else os.O_RDONLY, 0o666)
    try:
        _acquire(descriptor, timeout)
        yield descriptor
    finally:
        os.close(descriptor)


def _acquire(descriptor: int, timeout: float | None) -> None:
    if timeout is None:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        return
    deadline = time.monotonic() + timeout
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if time.monotonic() >= deadline:
                raise LockTimeout from None
        time.sleep(min(_PAUSE_SECONDS, max(0.0, deadline - time.monotonic())))
