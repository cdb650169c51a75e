"""The cache of encoders: an entry is complete or absent, made once even if several runs need it, and recorded.

$XDG_CACHE_HOME/berth/            or ~/.cache/berth/
    <name>/entry.json             its record
    <name>/...                    its files; the built-in encoder has encoder/ and preprocessor/
    .<name>.lock                  held by the run that makes it
"""

import contextlib
import datetime
import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal

import pydantic

from berth.errors import BerthError
from berth.models.integrity import sha256_of
from berth.storage import locks

_RECORD = "entry.json"


class TextModel(pydantic.BaseModel):
    """A SavedModel of the TF-Hub text API, as found by loading it."""

    kind: Literal["encoder", "preprocessor"]
    tokens: int | None
    """Rows of an encoder's word table, or tokens that a preprocessor knows; None: not known."""
    words: list[str]
    """Its kind, its inputs and its outputs, one line each."""


class Entry(pydantic.BaseModel):
    """The record of one handle in the cache."""

    name: str
    handle: str
    sha256: str
    """Of the files, as `digest` computes it."""
    archive_sha256: str = ""
    bytes: int
    fetched: str
    models: list[TextModel]

    @property
    def size(self) -> str:
        """The size in a readable unit, such as `17 MB`.

        Example:
            >>> Entry.model_construct(bytes=17_301_504).size, Entry.model_construct(bytes=1_340_000_000).size
            ('17 MB', '1.3 GB')
        """
        size: float = self.bytes
        for unit in ("B", "kB", "MB"):
            if round(size) < 1000:
                return f"{size:,.0f} {unit}"
            size /= 1000
        return f"{size:,.1f} GB"


def root() -> Path:
    """Return the user's cache folder of Berth.

    Example:
        >>> from unittest import mock
        >>> with mock.patch.dict(os.environ, XDG_CACHE_HOME="/data/cache"):
        ...     print(root())
        /data/cache/berth
    """
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "berth"


def entry(name: str) -> Entry | None:
    """Return the record of `name`; None: it is not in the cache."""
    try:
        return Entry.model_validate_json((root() / name / _RECORD).read_text(encoding="utf-8"))
    except (OSError, pydantic.ValidationError):
        return None


def entries() -> list[Entry]:
    """Return the records of the cache, sorted by name."""
    names = sorted(path.name for path in root().iterdir() if path.is_dir()) if root().is_dir() else []
    return [found for name in names if (found := entry(name)) is not None]


def obtain(name: str, handle: str, make: Callable[[Path], tuple[str, list[TextModel]]]) -> Path:
    """Return the folder of `name`, made now if no earlier run did so.

    `make` fills the folder that it is passed and returns the archive's SHA-256 (empty if there is no archive) and the
    models in the folder. If another run is making it, this one waits.

    Raises:
        BerthError: the cache cannot be written, or `make` raises it; the cache then has no such entry.
    """
    folder = root() / name
    if entry(name) is not None:
        return folder
    with _locked(name):
        if entry(name) is not None:
            return folder
        try:
            shutil.rmtree(folder, ignore_errors=True)  # a folder without a record is from an older Berth
            for abandoned in root().glob(f".{name}~*"):
                shutil.rmtree(abandoned, ignore_errors=True)
            made = Path(tempfile.mkdtemp(prefix=f".{name}~", dir=root()))
            try:
                archive_sha256, found = make(made)
                record = Entry(
                    name=name,
                    handle=handle,
                    sha256=digest(made),
                    archive_sha256=archive_sha256,
                    bytes=sum(path.stat().st_size for path in files(made)),
                    fetched=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
                    models=found,
                )
                (made / _RECORD).write_text(record.model_dump_json(indent=1) + "\n", encoding="utf-8")
                made.chmod(0o755)
                made.rename(folder)
            finally:
                shutil.rmtree(made, ignore_errors=True)
        except OSError as error:
            raise _unwritable(error) from None
    return folder


def digest(folder: Path) -> str:
    """Return the SHA-256 of the output of `sha256sum` for the files below `folder`, sorted by path."""
    whole = hashlib.sha256()
    for path in files(folder):
        whole.update(f"{sha256_of(path)}  {path.relative_to(folder).as_posix()}\n".encode())
    return whole.hexdigest()


def files(folder: Path) -> list[Path]:
    """Return the files below `folder` except the record, sorted by path."""
    return sorted(path for path in folder.rglob("*") if path.is_file() and path != folder / _RECORD)


@contextlib.contextmanager
def _locked(name: str) -> Iterator[None]:
    """Hold the lock of `name`."""
    with contextlib.ExitStack() as stack:
        try:
            root().mkdir(parents=True, exist_ok=True)
            path = root() / f".{name}.lock"
            try:
                stack.enter_context(locks.locked(path, timeout=0))
            except locks.LockTimeout:
                print(f"waiting for another run that makes {name}", flush=True)
                stack.enter_context(locks.locked(path))
        except OSError as error:
            raise _unwritable(error) from None
        yield


def _unwritable(error: OSError) -> BerthError:
    return BerthError(
        f"{root()}: cannot be written ({error.strerror or error}). Set XDG_CACHE_HOME to a writable folder."
    )
