"""Files that are on the disk, and not only in memory, before what depends on them is."""

import os
from pathlib import Path


def sync(path: Path) -> None:
    """Return when the file or the folder `path`, its list of names, is on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
