"""A serving folder in S3 or Google Cloud Storage, through fsspec; credentials come from the environment alone.

Pushes to one folder are made one at a time. There is no renaming here: a version is there when its saved_model.pb is,
which is uploaded last and removed first.
"""

import contextlib
import datetime
import hashlib
import tempfile
import uuid
from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from berth.errors import BerthError
from berth.models import integrity
from berth.storage import leases, locks
from berth.storage.object_store import explained, store_of

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem

_LAST = "saved_model.pb"
_LOCK = ".lock"
_TIMEOUT_SECONDS = 3600
"""Seconds to wait for other pushes to the same folder, each of which uploads a model."""
_PROBE = ".berth-probe-"
ABANDONED = 3600
"""Seconds after which a version that has not become complete belongs to no push that is still at work."""


class ObjectFolder:
    """See ServingFolder; `address` is `s3://BUCKET/...` or `gs://BUCKET/...`."""

    serialised = False  # a store may not know the condition that the lock needs

    def __init__(self, address: str) -> None:
        self.address = address.rstrip("/")
        self._root = self.address.partition("://")[2]

    def prepare(self) -> None:
        probe = f"{_PROBE}{uuid.uuid4().hex}"  # of its own: pushes are at work at once
        with self._explained():
            self._store.pipe_file(f"{self._root}/{probe}", b"berth")
            self._remove(probe)

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        with contextlib.ExitStack() as stack:
            with self._explained():
                try:
                    stack.enter_context(leases.leased(self._store, f"{self._root}/{_LOCK}", _TIMEOUT_SECONDS))
                except locks.LockTimeout:
                    raise BerthError(
                        f"push_to: another push to {self.address} has not ended for {_TIMEOUT_SECONDS} s. "
                        "Stop it, or push again later."
                    ) from None
            yield

    def sweep(self) -> None:
        now = datetime.datetime.now(datetime.UTC)
        with self._explained():
            for version, objects in self._objects().items():
                if _LAST not in objects and all(
                    (now - changed).total_seconds() > ABANDONED for changed in objects.values()
                ):
                    self._delete(version)

    def versions(self) -> set[int]:
        with self._explained():
            return {version for version, objects in self._objects().items() if _LAST in objects}

    def digest(self, version: int) -> str:
        with self._explained():
            try:
                return hashlib.sha256(self._store.cat_file(f"{self._root}/{version}/{integrity.SUMS}")).hexdigest()
            except FileNotFoundError:
                return ""

    def intact(self, version: int, digest: str) -> bool:
        if version not in self.versions():
            return False
        with tempfile.TemporaryDirectory(prefix="berth-serving-") as scratch:
            with self._explained():
                for key in self._objects()[version]:
                    target = Path(scratch) / key
                    target.parent.mkdir(parents=True, exist_ok=True)
                    self._store.get_file(f"{self._root}/{version}/{key}", str(target))
            try:
                return integrity.verify(scratch) == digest
            except BerthError:
                return False

    def publish(self, saved_model: Path, version: int) -> str:
        files = {path.relative_to(saved_model).as_posix(): path for path in saved_model.rglob("*") if path.is_file()}
        try:
            with self._explained():
                for name in sorted(files, key=lambda name: (name == _LAST, name)):
                    self._put(files[name], f"{version}/{name}")
        except BaseException:
            with contextlib.suppress(BerthError):
                self.remove(version)
            raise
        return f"{self.address}/{version}"

    def remove(self, version: int) -> None:
        with self._explained():
            self._delete(version)

    def _put(self, path: Path, key: str) -> None:
        self._store.put_file(str(path), f"{self._root}/{key}")

    def _delete(self, version: int) -> None:
        keys = sorted(self._objects().get(version, {}), key=lambda key: (key != _LAST, key))
        for key in keys:
            self._remove(f"{version}/{key}")

    def _remove(self, key: str) -> None:
        with contextlib.suppress(FileNotFoundError):  # another push sweeps the same leftovers
            self._store.rm_file(f"{self._root}/{key}")

    def _objects(self) -> dict[int, dict[str, datetime.datetime]]:
        """Return the name below its version, and the time of its last change, of every object, by version."""
        try:
            found = self._store.find(self._root, detail=True)
        except FileNotFoundError:
            return {}
        versions: dict[int, dict[str, datetime.datetime]] = {}
        for path, info in found.items():
            number, _, name = path.removeprefix(f"{self._root}/").partition("/")
            if number.isdecimal() and name:
                versions.setdefault(int(number), {})[name] = _changed(info)
        return versions

    @cached_property
    def _store(self) -> "AbstractFileSystem":
        return store_of(self.address)

    def _explained(self) -> contextlib.AbstractContextManager[None]:
        return explained("push_to", self.address, "written")


def _changed(info: Mapping[str, object]) -> datetime.datetime:
    value = info.get("LastModified") or info.get("updated") or info.get("mtime")
    if isinstance(value, str):
        value = datetime.datetime.fromisoformat(value)
    return value if isinstance(value, datetime.datetime) else datetime.datetime.now(datetime.UTC)
