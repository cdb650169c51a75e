"""A path that TensorFlow can read: it takes the path of a model's variables for a pattern of files.

MLflow ships this file with the model, so it imports nothing of the project.
"""

import atexit
import os
import shutil
import tempfile
from pathlib import Path

_OF_PATTERNS = set("*?[\\")
_PLACES = ("/tmp", "/var/tmp", "/dev/shm")


def plain_path(folder: str | Path) -> str:
    """Return `folder`, or where its path has a character of patterns, a link to it whose path has none.

    The link stays until the process ends: an export reads a loaded model's assets again.

    Example:
        >>> plain_path("models/spam [1]")
        '/tmp/berth-link-5gv1l8xe/folder'
    """
    whole = str(Path(folder).absolute())
    if _OF_PATTERNS.isdisjoint(whole):
        return str(folder)
    for place in (tempfile.gettempdir(), *_PLACES):  # a step's is in the working folder
        if _OF_PATTERNS.isdisjoint(place) and os.access(place, os.W_OK):
            made = Path(tempfile.mkdtemp(prefix="berth-link-", dir=place))
            atexit.register(shutil.rmtree, made, ignore_errors=True)
            (made / "folder").symlink_to(whole, target_is_directory=True)
            return str(made / "folder")
    return str(folder)
