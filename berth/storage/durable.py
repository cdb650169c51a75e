"""Files that are on the disk, and not only in memory, before what depends on them is."""

import os
from pathlib import Path


def sync(path: Path) -> None:
    """Return when `path` is on the disk (fsync): a file's contents, or a folder's list of names.

    Raises:
        OSError: there is no such path, or the disk reports an error.
    """
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
