"""Globs whose folders may have `*`, `?` or `[` in their own names."""

import glob
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
