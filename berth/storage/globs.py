"""Globs whose folders may have `*`, `?` or `[` in their own names."""

import glob
import re
from collections.abc import Callable


def with_literal_folders(pattern: str, is_folder: Callable[[str], bool]) -> str:
    """Return `pattern` with its leading folders escaped, as long as there are folders of exactly these names.

    Example:
        >>> with_literal_folders("/data [old]/*.csv", lambda folder: folder == "/data [old]")
        '/data [[]old]/*.csv'
    """
    *folders, name = pattern.split("/")
    for number, folder in enumerate(folders):
        if glob.has_magic(folder):
            if not is_folder("/".join(pattern.split("/")[: number + 1])):
                break
            folders[number] = glob.escape(folder)
    return "/".join([*folders, name])


def as_written(pattern: str) -> str:
    """Return `pattern` with what is escaped in it as its author wrote it, for a message.

    Example:
        >>> as_written("/data [[]old]/*.csv")
        '/data [old]/*.csv'
    """
    return re.sub(r"\[([*?[])\]", r"\1", pattern)
