"""Files of this machine."""

import datetime
import glob
from pathlib import Path

from berth.errors import BerthError
from berth.storage.globs import as_written
from components.ingest.sources.files import KINDS, File


def local_files(source: str, split: str) -> list[File]:
    path = Path(source)
    if not source.strip():
        raise BerthError("source: is empty. Give a file, a glob or a folder.")
    if path.is_dir():
        paths = sorted(found for found in path.rglob("*") if found.is_file() and not _hidden(found.relative_to(path)))
        if not paths:
            raise BerthError(f"source: the folder {source} holds no files. Put {KINDS} files there.")
    elif path.is_file():
        paths = [path]
    else:
        matching = (Path(found) for found in glob.glob(source, recursive=True))  # noqa: PTH207
        # Spark writes _SUCCESS next to its data; the glob leaves out names that begin with a dot by itself.
        hidden = "" if path.name.startswith("_") else "_"
        paths = sorted(one for one in matching if one.is_file() and not (hidden and one.name.startswith(hidden)))
        if not paths:
            kind = "file matches" if glob.has_magic(source) else "file"
            raise BerthError(f"source: no {kind} {as_written(source)}. Paths are relative to the configuration file.")
    files = []
    for found in paths:
        try:
            files.append(local_file(found, split))
            with found.open("rb") as stream:
                stream.read(1)
        except OSError as error:
            raise BerthError(f"{found}: cannot be read ({error.strerror}). Fix its permissions.") from None
    return files


def local_file(path: Path, split: str) -> File:
    found = path.stat()
    changed = datetime.datetime.fromtimestamp(found.st_mtime_ns / 1e9, datetime.UTC)
    return File(str(path), path, found.st_size, changed.isoformat(), split)


def _hidden(path: Path) -> bool:
    return any(part.startswith((".", "_")) for part in path.parts)
