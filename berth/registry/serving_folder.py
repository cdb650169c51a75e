"""TensorFlow Serving's side of a push: `<push_to>/<model>/<version>/`, of which it serves the highest number."""

from collections.abc import Collection
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol

from berth.errors import BerthError
from berth.storage.object_store import OBJECT_STORES


class ServingFolder(Protocol):
    """The folder of a model's versions. What goes wrong in it is raised as a BerthError that names it."""

    address: str
    """`<push_to>/<model>`."""
    serialised: bool
    """Whether `locked` keeps other pushes out, so that all that is unfinished inside it was left by a killed one."""

    def prepare(self) -> None:
        """Make the folder if need be, and see that it can be written."""

    def locked(self) -> AbstractContextManager[None]:
        """Keep other pushes out while it lasts, where the folder can; a killed process lets go of it."""

    def sweep(self) -> None:
        """Remove what killed pushes left, unless it is a whole version; to be called `locked`."""

    def versions(self) -> set[int]:
        """Return the versions that are there."""

    def digest(self, version: int) -> str:
        """Return the digest of the version's SHA256SUMS, empty if it has none."""

    def intact(self, version: int, digest: str) -> bool:
        """Return whether the version is there, every file as it is in the model of this digest."""

    def publish(self, saved_model: Path, version: int) -> str:
        """Copy the SavedModel to `<address>/<version>`, visible when it is complete, and return that address."""

    def remove(self, version: int) -> None:
        """Remove the version, from sight first; a missing one is not an error."""


def serving_folder(push_to: str, model_name: str) -> ServingFolder:
    """Return `<push_to>/<model_name>`, of this machine or of an object store.

    Raises:
        BerthError: push_to is an address that Berth cannot push to.

    Example:
        >>> serving_folder("s3://models/", "sms-spam").address
        's3://models/sms-spam'
    """
    if push_to.endswith("://"):
        raise _not_a_place(push_to)
    return at(f"{push_to.rstrip('/')}/{model_name}")


def at(address: str) -> ServingFolder:
    """Return the serving folder at `address`, `<push_to>/<model>`; raises as `serving_folder` does.

    Example:
        >>> type(at("gs://models/sms-spam")).__name__, type(at("/srv/models/sms-spam")).__name__
        ('ObjectFolder', 'LocalFolder')
    """
    scheme, separator, rest = address.partition("://")
    if not separator:
        from berth.registry.local_folder import LocalFolder

        return LocalFolder(Path(address))
    if scheme not in OBJECT_STORES or not rest.strip("/") or rest.startswith("/"):
        raise _not_a_place(address)
    from berth.registry.object_folder import ObjectFolder

    return ObjectFolder(address)


def check_versions_known(folder: ServingFolder, known: Collection[int], version: int) -> None:
    """Raise BerthError where `folder` has a version from `version` up that is none of `known`, the registry's own."""
    highest = max(folder.versions() - set(known), default=0)
    if highest >= version:
        raise BerthError(
            f"push_to: {folder.address}/{highest} is there already, from another model registry. "
            "Name another push_to, or move it away."
        )


def _not_a_place(address: str) -> BerthError:
    return BerthError(
        f"push_to: {address} is not a place to push to. Name a folder, s3://BUCKET/... or gs://BUCKET/..."
    )
