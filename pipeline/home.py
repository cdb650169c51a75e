"""The .berth/ folder of the working directory, which holds runs, cache, logs and models."""

import os
from pathlib import Path

from berth.errors import BerthError


def berth_home() -> Path:
    """Return the folder that holds this working directory's runs, cache, logs and models."""
    return Path.cwd() / ".berth"


def writable_home() -> Path:
    """Return the folder of `berth_home`, created if it is missing.

    Raises:
        BerthError: it cannot be written.
    """
    home = berth_home()
    try:
        home.mkdir(exist_ok=True)
        if not os.access(home, os.W_OK):
            raise PermissionError
    except OSError:
        raise BerthError(f"{home}: cannot be written. Run berth in a folder of your own.") from None
    return home


def relative(path: Path) -> str:
    """Return `path` as seen from the working directory, where it is below it."""
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)
