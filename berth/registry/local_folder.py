"""A serving folder on this machine, or on a shared disk: versions appear and disappear as a whole, by renaming."""

import contextlib
import hashlib
import shutil
from collections.abc import Iterator
from pathlib import Path

from berth.errors import BerthError
from berth.models import integrity
from berth.storage import locks
from berth.storage.durable import sync

_LOCK = ".lock"
_INCOMING = ".incoming-"
_OUTGOING = ".outgoing-"
_TIMEOUT_SECONDS = 600
"""Seconds to wait for another push to the same folder."""


class LocalFolder:
    """See ServingFolder. Names that begin with a dot are nothing to TensorFlow Serving."""

    serialised = True

    def __init__(self, folder: Path) -> None:
        self._folder = folder.absolute()
        self.address = str(self._folder)

    def prepare(self) -> None:
        with self._explained("Name a folder that can."):
            self._folder.mkdir(parents=True, exist_ok=True)
            (self._folder / _LOCK).open("a").close()

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        if not self._folder.parent.is_dir():
            raise BerthError(f"serving folder {self._folder}: not on this machine. Run this where it is, or mount it.")
        with self._explained("Name a folder that can."):
            self._folder.mkdir(exist_ok=True)
            (self._folder / _LOCK).open("a").close()
        with contextlib.ExitStack() as stack:
            try:
                stack.enter_context(locks.locked(self._folder / _LOCK, _TIMEOUT_SECONDS))
            except locks.LockTimeout:
                raise BerthError(
                    f"push_to: another push to {self._folder} has not ended for {_TIMEOUT_SECONDS} s. "
                    f"See who holds {_LOCK} in it, then push again."
                ) from None
            except OSError as error:
                raise BerthError(
                    f"push_to: {self._folder} cannot be locked ({error.strerror}). Name a folder on another disk."
                ) from None
            yield

    def sweep(self) -> None:
        with self._explained("Fix that."):
            for pattern in (f"{_INCOMING}*", f"{_OUTGOING}*"):
                for left in self._folder.glob(pattern):
                    shutil.rmtree(left)

    def versions(self) -> set[int]:
        with self._explained("Fix that."):
            return {int(path.name) for path in self._folder.iterdir() if path.name.isdecimal() and path.is_dir()}

    def digest(self, version: int) -> str:
        try:
            return hashlib.sha256((self._folder / str(version) / integrity.SUMS).read_bytes()).hexdigest()
        except OSError:
            return ""

    def intact(self, version: int, digest: str) -> bool:
        try:
            return integrity.verify(self._folder / str(version)) == digest
        except (BerthError, OSError):
            return False

    def publish(self, saved_model: Path, version: int) -> str:
        incoming = self._folder / f"{_INCOMING}{version}"
        target = self._folder / str(version)
        try:
            with self._explained("Make room, or name another."):
                shutil.copytree(saved_model, incoming)
                for path in (*incoming.rglob("*"), incoming):
                    sync(path)
                incoming.rename(target)
                sync(self._folder)
        except BaseException:
            shutil.rmtree(incoming, ignore_errors=True)
            raise
        return str(target)

    def remove(self, version: int) -> None:
        outgoing = self._folder / f"{_OUTGOING}{version}"
        with self._explained("Fix that."), contextlib.suppress(FileNotFoundError):
            (self._folder / str(version)).rename(outgoing)
            sync(self._folder)
            shutil.rmtree(outgoing)

    @contextlib.contextmanager
    def _explained(self, advice: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            # copytree gathers what failed in a list of its own instead of an errno.
            reason = error.strerror or str(error)[:200]
            raise BerthError(f"push_to: {self._folder} cannot be written ({reason}). {advice}") from None
