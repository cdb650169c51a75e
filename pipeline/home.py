"""The .berth/ folder of the working directory, which holds runs, cache, logs and models."""

import errno
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


def serving_folder(push_to: str) -> str:
    """Return the folder that push will write to, made now: better an error here than after an hour of training."""
    if "://" in push_to:
        return push_to
    folder = Path(push_to) if push_to else writable_home() / "serving"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not os.access(folder, os.W_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    except OSError as error:
        raise BerthError(f"push_to: {folder} cannot be written ({error.strerror}). Name a folder that can.") from None
    return str(folder)


def relative(path: Path) -> str:
    """Return `path` as seen from the working directory, where it is below it."""
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)
