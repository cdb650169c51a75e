"""Storage of checkpoints: a local folder, or a folder of an object store through fsspec."""

import contextlib
import shutil
import tempfile
import uuid
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from berth.errors import BerthError
from berth.storage.durable import sync
from berth.storage.locks import LockTimeout, locked
from berth.storage.object_store import OBJECT_STORES, explained, store_of

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem

_INCOMING = ".incoming-"
_PROBE = ".probe-"


class CheckpointFolder(Protocol):
    """A folder of files, each complete or absent. Errors are raised as a BerthError that names the folder."""

    address: str

    def prepare(self) -> None:
        """Make the folder if it does not exist, and check that it can be written."""

    def names(self) -> list[str]:
        """Return the names of the files directly in the folder; empty if it does not exist."""

    def scratch(self) -> contextlib.AbstractContextManager[Path]:
        """Give a path for a file that is then handed to `write`."""

    def write(self, name: str, file: Path) -> None:
        """Make the scratch file `file` appear in the folder as `name`."""

    def read(self, name: str) -> contextlib.AbstractContextManager[Path]:
        """Give a path at which the file `name` can be read while the context lasts."""

    def remove(self, name: str) -> None:
        """Remove the file `name`; do nothing if it does not exist."""

    def remove_empty(self) -> None:
        """Remove the folder if it is empty."""


def at(address: str) -> CheckpointFolder:
    """Return the folder at `address`.

    Raises:
        BerthError: it is not the address of a folder.

    Example:
        >>> folder = at("s3://checkpoints/sms-spam")
        >>> folder.prepare()
    """
    scheme, separator, rest = address.partition("://")
    if not separator:
        return LocalCheckpoints(Path(address))
    if scheme not in OBJECT_STORES or not rest.strip("/") or rest.startswith("/"):
        raise BerthError(
            f"checkpoints: {address} cannot hold checkpoints. Name a folder, s3://BUCKET/... or gs://BUCKET/..."
        )
    return BucketCheckpoints(address)


class LocalCheckpoints:
    """See CheckpointFolder. A file is written next to the others under a temporary name, synced and renamed."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder.absolute()
        self.address = str(self._folder)

    def prepare(self) -> None:
        with self._explained("written", "Name a writable folder."):
            self._folder.mkdir(parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile(dir=self._folder, prefix=_PROBE):
                pass
            for left in self._folder.glob(f"{_INCOMING}*"):
                self._remove_abandoned(left)

    def names(self) -> list[str]:
        with self._explained("read", "Fix that."):
            return [path.name for path in self._folder.iterdir()] if self._folder.is_dir() else []

    @contextlib.contextmanager
    def scratch(self) -> Iterator[Path]:
        with self._explained("written", "Make room, or name another."):
            self._folder.mkdir(parents=True, exist_ok=True)
            incoming = self._folder / f"{_INCOMING}{uuid.uuid4().hex}"
            incoming.mkdir()
        try:
            with locked(incoming, create=False):  # until the process ends; without a lock it is abandoned
                yield incoming / "file"
        finally:
            shutil.rmtree(incoming, ignore_errors=True)

    def write(self, name: str, file: Path) -> None:
        with self._explained("written", "Make room, or name another."):
            file.chmod(self._folder.stat().st_mode & 0o666)  # safetensors makes files that only the owner can read
            sync(file)
            file.rename(self._folder / name)
            sync(self._folder)

    @contextlib.contextmanager
    def read(self, name: str) -> Iterator[Path]:
        yield self._folder / name

    def remove(self, name: str) -> None:
        with self._explained("written", "Fix that."):
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


class BucketCheckpoints:
    """See CheckpointFolder; `address` is `s3://BUCKET/...` or `gs://BUCKET/...`. An object appears when it is complete.

    Credentials come only from the environment.
    """

    def __init__(self, address: str) -> None:
        self.address = address.rstrip("/")
        self._root = self.address.partition("://")[2]

    def prepare(self) -> None:
        probe = f"{self._root}/{_PROBE}{uuid.uuid4().hex}"  # a unique name: several runs may be active
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
        """Do nothing: a folder of an object store exists only while an object is in it."""

    @cached_property
    def _store(self) -> "AbstractFileSystem":
        return store_of(self.address)

    def _explained(self, verb: str) -> contextlib.AbstractContextManager[None]:
        return explained("checkpoints", self.address, verb)
