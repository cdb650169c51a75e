"""Where checkpoints lie: a folder of this machine, or of an object store through fsspec."""

import contextlib
import os
import shutil
import tempfile
import uuid
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

from berth.errors import BerthError
from berth.storage.locks import LockTimeout, locked
from berth.storage.object_store import OBJECT_STORES, explained, store_of

_INCOMING = ".incoming-"
_PROBE = ".probe-"


class CheckpointFolder(Protocol):
    """A folder of files, each there whole or not at all. What goes wrong is raised as a BerthError that names it."""

    address: str

    def prepare(self) -> None:
        """Make the folder if need be, and see that it can be written."""

    def names(self) -> list[str]:
        """Return the names of the files directly in the folder; none where it is not there."""

    def scratch(self) -> contextlib.AbstractContextManager[Path]:
        """Give a path for a file that is then handed to `write`."""

    def write(self, name: str, file: Path) -> None:
        """Make the scratch file `file` appear in the folder as `name`."""

    def read(self, name: str) -> contextlib.AbstractContextManager[Path]:
        """Give a path at which the file `name` can be read while the context lasts."""

    def remove(self, name: str) -> None:
        """Remove the file `name`; one that is not there is no error."""

    def remove_empty(self) -> None:
        """Remove the folder if nothing is in it."""


def at(address: str) -> CheckpointFolder:
    """Return the folder at `address`.

    Raises:
        BerthError: it is no address of a folder.
    """
    scheme, separator, rest = address.partition("://")
    if not separator:
        return LocalFolder(Path(address))
    if scheme not in OBJECT_STORES or not rest.strip("/") or rest.startswith("/"):
        raise BerthError(
            f"checkpoints: {address} is no place for checkpoints. Name a folder, s3://BUCKET/... or gs://BUCKET/..."
        )
    return BucketFolder(address)


class LocalFolder:
    """See CheckpointFolder. A file is written next to the others under a temporary name, synced and renamed."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder.absolute()
        self.address = str(self._folder)

    def prepare(self) -> None:
        with self._explained("written", "Name a folder that can."):
            self._folder.mkdir(parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile(dir=self._folder, prefix=_PROBE):
                pass
            for left in self._folder.glob(f"{_INCOMING}*"):
                self._remove_abandoned(left)

    def names(self) -> list[str]:
        with self._explained("read", "Mend that."):
            return [path.name for path in self._folder.iterdir()] if self._folder.is_dir() else []

    @contextlib.contextmanager
    def scratch(self) -> Iterator[Path]:
        with self._explained("written", "Make room, or name another."):
            self._folder.mkdir(parents=True, exist_ok=True)
            incoming = self._folder / f"{_INCOMING}{uuid.uuid4().hex}"
            incoming.mkdir()
        try:
            with locked(incoming, create=False):  # until its process ends: how another knows that it is abandoned
                yield incoming / "file"
        finally:
            shutil.rmtree(incoming, ignore_errors=True)

    def write(self, name: str, file: Path) -> None:
        with self._explained("written", "Make room, or name another."):
            file.chmod(self._folder.stat().st_mode & 0o666)  # safetensors makes a file that is its owner's alone
            _sync(file)
            file.rename(self._folder / name)
            _sync(self._folder)

    @contextlib.contextmanager
    def read(self, name: str) -> Iterator[Path]:
        yield self._folder / name

    def remove(self, name: str) -> None:
        with self._explained("written", "Mend that."):
            (self._folder / name).unlink(missing_ok=True)

    def remove_empty(self) -> None:
        with contextlib.suppress(OSError):
            self._folder.rmdir()

    def _remove_abandoned(self, incoming: Path) -> None:
        with contextlib.suppress(FileNotFoundError, LockTimeout), locked(incoming, timeout=0, create=False):
            shutil.rmtree(incoming)

    @contextlib.contextmanager
    def _explained(self, verb: str, advice: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            reason = error.strerror or str(error)[:200]
            raise BerthError(f"checkpoints: {self.address} cannot be {verb} ({reason}). {advice}") from None


class BucketFolder:
    """See CheckpointFolder; `address` is `s3://BUCKET/...` or `gs://BUCKET/...`. An object appears when it is whole.

    Credentials come from the environment alone.
    """

    def __init__(self, address: str) -> None:
        self.address = address.rstrip("/")
        self._root = self.address.partition("://")[2]

    def prepare(self) -> None:
        probe = f"{self._root}/{_PROBE}{uuid.uuid4().hex}"  # of its own: runs are at work at once
        with self._explained("written"):
            self._store.pipe_file(probe, b"berth")
            self._store.rm_file(probe)

    def names(self) -> list[str]:
        with self._explained("read"):
            try:
                return [path.removeprefix(f"{self._root}/") for path in self._store.ls(self._root, detail=False)]
            except FileNotFoundError:
                return []

    @contextlib.contextmanager
    def scratch(self) -> Iterator[Path]:
        with tempfile.TemporaryDirectory(prefix="berth-checkpoint-") as folder:
            yield Path(folder) / "file"

    def write(self, name: str, file: Path) -> None:
        with self._explained("written"):
            self._store.put_file(str(file), f"{self._root}/{name}")

    @contextlib.contextmanager
    def read(self, name: str) -> Iterator[Path]:
        with self.scratch() as file:
            with self._explained("read"):
                self._store.get_file(f"{self._root}/{name}", str(file))
            yield file

    def remove(self, name: str) -> None:
        with self._explained("written"), contextlib.suppress(FileNotFoundError):
            self._store.rm_file(f"{self._root}/{name}")

    def remove_empty(self) -> None:
        """Do nothing: a folder of an object store is there while an object is in it."""

    @cached_property
    def _store(self) -> Any:
        return store_of(self.address)

    def _explained(self, verb: str) -> contextlib.AbstractContextManager[None]:
        return explained("checkpoints", self.address, verb)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
