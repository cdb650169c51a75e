"""The push step: a blessed model becomes the champion, in MLflow's registry and in the serving folder.

Kill -9 at any point leaves the champion and its files as they were; the next push clears what was left.
"""

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from components.common import integrity
from components.common.tracking import CHALLENGER, CHAMPION, DIGEST, PREVIOUS, PUBLISHED, SERVING_FOLDER
from components.push import package, registry, serving
from components.push.object_folder import ABANDONED
from components.push.package import Interface


@dataclass(frozen=True)
class Pushed:
    """What became of a model."""

    name: str
    version: int
    blessed: bool
    champion: int
    """The version that users get now; 0: none."""
    folder: str = ""
    """Where TensorFlow Serving finds the version; empty: nowhere."""

    def __str__(self) -> str:
        if self.champion == self.version:
            return f"{self.name} version {self.version} is {CHAMPION}"
        if self.blessed:
            return f"{self.name} version {self.version} is pushed; version {self.champion} is {CHAMPION} by now"
        stays = f"version {self.champion} stays {CHAMPION}" if self.champion else f"there is no {CHAMPION}"
        return f"{self.name} version {self.version} is {CHALLENGER}; {stays}"


def push_model(
    saved_model: str | Path,
    name: str,
    push_to: str,
    interface: Interface,
    tags: Mapping[str, Any],
    description: str = "",
    keep: int = 5,
) -> Pushed:
    """Log, register and publish the model under the active MLflow run; the alias that users follow moves last.

    Whatever fails before that leaves the champion and its serving folder as they were. An empty `push_to` means the
    registry alone. The serving folder then holds `keep` versions.

    Raises:
        BerthError: the model is not as it was exported, or the serving folder cannot be written.
    """
    digest = integrity.verify(saved_model)
    folder = serving.serving_folder(push_to, name) if push_to else None
    if folder:
        folder.prepare()
    model_uri = package.log_model(saved_model, interface)
    tags = {**tags, DIGEST: digest, PUBLISHED: "pending", SERVING_FOLDER: folder.address if folder else ""}
    with folder.locked() if folder else contextlib.nullcontext():
        if folder:
            clear(folder, name)
        version = registry.register(model_uri, name, tags, description)
        address = ""
        try:
            if folder:
                address = publish(folder, name, version, Path(saved_model))
            registry.mark_published(name, version)
        except BaseException:
            if folder and address:
                folder.remove(version)
            registry.withdraw(name, version)
            raise
        champion = registry.converge(name)
        if folder:
            retain(folder, name, keep)
    return Pushed(name, version, True, champion, address)


def refuse_model(
    saved_model: str | Path,
    name: str,
    push_to: str,
    interface: Interface,
    tags: Mapping[str, Any],
    description: str = "",
) -> Pushed:
    """Log and register the model that was not blessed as the challenger; what users get stays as it is.

    `push_to` is where a promotion would publish it.

    Raises:
        BerthError: the model is not as it was exported.
    """
    digest = integrity.verify(saved_model)
    address = serving.serving_folder(push_to, name).address if push_to else ""
    tags = {**tags, DIGEST: digest, SERVING_FOLDER: address}
    version = registry.register(package.log_model(saved_model, interface), name, tags, description)
    registry.make_challenger(name, version)
    return Pushed(name, version, False, registry.aliases(name).get(CHAMPION, 0))


def clear(folder: serving.ServingFolder, name: str) -> None:
    """Remove what killed pushes to `folder` left in it and in the registry; to be called `locked`."""
    folder.sweep()
    for left in registry.abandoned(name, folder.address, 0 if folder.serialised else ABANDONED):
        if folder.digest(left.number) == left.digest:  # else it is another registry's
            folder.remove(left.number)
        registry.withdraw(name, left.number)


def publish(folder: serving.ServingFolder, name: str, version: int, saved_model: Path) -> str:
    """Copy the model to its place in `folder` and return its address there.

    Raises:
        BerthError: TensorFlow Serving would not serve it, for another registry's version of a higher number.
    """
    own = {known.number for known in registry.versions(name)} - {version}
    serving.refuse_foreign(folder, own, version)
    return folder.publish(saved_model, version)


def retain(folder: serving.ServingFolder, name: str, keep: int) -> None:
    """Remove versions below the champion from `folder` until `keep` of this registry's are left; none is destroyed.

    The champion stays, then what a rollback goes to, then the newest.
    """
    aliases = registry.aliases(name)
    champion, previous = aliases.get(CHAMPION, 0), aliases.get(PREVIOUS, 0)
    own = folder.versions() & {version.number for version in registry.versions(name)}
    ranked = sorted(own, key=lambda number: (number >= champion, number == previous, number), reverse=True)
    for number in ranked[keep:]:
        if number < champion:
            folder.remove(number)
