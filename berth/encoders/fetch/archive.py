"""Unpack a SavedModel from a tar archive that is not trusted."""

import gzip
import lzma
import os
import tarfile
import zlib
from pathlib import Path, PurePosixPath
from typing import IO

from berth.errors import BerthError

_BLOCK = 1 << 20
_TOO_MUCH = "it unpacks to more than a model can be"
_MOST_MEMBERS = 10_000
_SMALL = 1 << 30
"""Bytes that any archive may unpack to, whatever its own size."""
_MOST_TIMES = 50
"""Beyond that, the limit as a multiple of the archive's own size; weights hardly compress."""


def extract(archive: IO[bytes], folder: Path) -> None:
    """Write the archive's files below the empty folder `folder`.

    Only plain files and folders are accepted: a malicious archive writes outside the folder through links, and
    tensorflow_hub does not accept links either.

    Raises:
        BerthError: it is not a tar archive, is cut short, or holds members that a SavedModel must not have; discard
            `folder` then. The message is only the reason.

    Example:
        >>> with open("bert.tar.gz", "rb") as archive:
        ...     extract(archive, Path("bert"))
    """
    limit = max(_SMALL, _MOST_TIMES * os.fstat(archive.fileno()).st_size)
    unpacked = 0
    try:
        with tarfile.open(fileobj=archive, mode="r:*") as tar:
            for number, member in enumerate(tar):
                unpacked += member.size
                if unpacked > limit or number >= _MOST_MEMBERS:
                    raise BerthError(_TOO_MUCH)
                _check_member(member)
                # Python's own guard stays on: it also drops owners and special modes.
                tar.extract(member, folder, filter="data")
            # tarfile stops at the last member; gzip's checksum comes after it.
            while tar.fileobj is not None and (rest := tar.fileobj.read(_BLOCK)):
                unpacked += len(rest)
                if unpacked > limit:
                    raise BerthError(_TOO_MUCH)
    except (tarfile.TarError, gzip.BadGzipFile, EOFError, zlib.error, lzma.LZMAError) as error:
        raise BerthError(f"it is not a tar archive, or is damaged: {error}") from None


def saved_model_below(folder: Path) -> Path | None:
    """Return the folder that holds saved_model.pb: `folder`, or the one in it, and so on; None: not found.

    `tar -c FOLDER` puts the files into that folder in the archive.
    """
    if (folder / "saved_model.pb").is_file():
        return folder
    inside = [path for path in folder.iterdir() if path.is_dir()] if folder.is_dir() else []
    return saved_model_below(inside[0]) if len(inside) == 1 else None


def _check_member(member: tarfile.TarInfo) -> None:
    path = PurePosixPath(member.name)
    if path.is_absolute():
        raise BerthError(f"it holds an absolute path, {member.name!r}")
    if ".." in path.parts:
        raise BerthError(f"it holds a path that leaves the folder, {member.name!r}")
    if member.issym() or member.islnk():
        raise BerthError(
            f"it holds a link, {member.name!r} to {member.linkname!r}: pack with tar --dereference --hard-dereference"
        )
    if not (member.isreg() or member.isdir()) or member.issparse():
        raise BerthError(f"it holds what is neither a file nor a folder, {member.name!r}")
