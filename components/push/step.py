"""The push step: a blessed model becomes the champion, in MLflow's registry and in the serving folder.

Kill -9 at any point leaves the champion and its files as they were; the next push clears what was left.
"""

import contextlib
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from components.common import integrity
from components.common.errors import BerthError
from components.common.tag import CHALLENGER, CHAMPION, DIGEST, PIPELINE_RUN, PREVIOUS, PUBLISHED, SERVING_FOLDER
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
    withdrawn_as: int = 0
    """The version as which the same files were withdrawn, so that they are not pushed again; 0: none."""

    def __str__(self) -> str:
        if self.champion == self.version:
            return f"{self.name} version {self.version} is {CHAMPION}"
        if self.blessed and not self.withdrawn_as:
            return f"{self.name} version {self.version} is pushed; version {self.champion} is {CHAMPION} by now"
        stays = f"version {self.champion} stays {CHAMPION}" if self.champion else f"there is no {CHAMPION}"
        why = ""
        if self.withdrawn_as:
            why = f": the same files were withdrawn as version {self.withdrawn_as} ('berth promote' takes them back)"
        return f"{self.name} version {self.version} is {CHALLENGER}{why}; {stays}"


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

    Files that a rollback or a promotion withdrew become the challenger instead. Within one pipeline run a push can be
    repeated: it goes on with the version that it has published.

    Raises:
        BerthError: the model is not as it was exported, or the serving folder cannot be written.
    """
    digest = integrity.verify(saved_model)
    folder = serving.serving_folder(push_to, name) if push_to else None
    if folder:
        folder.prepare()
    tags = {**tags, DIGEST: digest, PUBLISHED: "pending", SERVING_FOLDER: folder.address if folder else ""}
    version = _published_by(str(tags.get(PIPELINE_RUN, "")), name, digest)
    model_uri = "" if version else package.log_model(saved_model, interface)
    with folder.locked() if folder else contextlib.nullcontext():
        clear(folder, name)
        if not version:
            if withdrawn := _withdrawn_as(name, digest):
                version = registry.register(model_uri, name, {**tags, PUBLISHED: "no"}, description)
                registry.make_challenger(name, version)
                return Pushed(name, version, True, registry.aliases(name).get(CHAMPION, 0), withdrawn_as=withdrawn)
            version = _publish_anew(folder, name, Path(saved_model), model_uri, tags, description)
        champion = registry.converge(name)
        if folder:
            try:
                retain(folder, name, keep)
            except BerthError as error:  # users have their model: an old version too many is no failed push
                _warn(f"an old version could not be removed: {error}")
    return Pushed(name, version, True, champion, f"{folder.address}/{version}" if folder else "")


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


def clear(folder: serving.ServingFolder | None, name: str) -> None:
    """Remove what killed pushes to `folder` left in it and in the registry; to be called `locked`.

    None: what killed pushes to the registry alone left there.
    """
    if folder:
        try:
            folder.sweep()
        except BerthError as error:  # nothing that is hidden keeps a push from its end
            _warn(f"leftovers of an earlier push stay: {error}")
        for left in registry.abandoned(name, folder.address, 0 if folder.serialised else ABANDONED):
            if folder.digest(left.number) == left.digest:  # else it is another registry's
                folder.remove(left.number)
            registry.withdraw(name, left.number, missing_ok=True)
    for left in registry.abandoned(name, "", ABANDONED):
        registry.withdraw(name, left.number, missing_ok=True)


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


def _published_by(run_id: str, name: str, digest: str) -> int:
    """Return the version as which the pipeline run has published these files before; 0: it has not."""
    versions = registry.versions(name) if run_id else []
    return next(
        (
            version.number
            for version in versions
            if version.published and version.digest == digest and version.tags.get(PIPELINE_RUN) == run_id
        ),
        0,
    )


def _withdrawn_as(name: str, digest: str) -> int:
    """Return the version as which these files were taken from users, unless they were given back later; 0: none."""
    served = (version for version in registry.versions(name) if version.published or version.withdrawn)
    newest = next((version for version in served if version.digest == digest), None)
    return newest.number if newest and newest.withdrawn else 0


def _publish_anew(
    folder: serving.ServingFolder | None,
    name: str,
    saved_model: Path,
    model_uri: str,
    tags: Mapping[str, Any],
    description: str,
) -> int:
    """Register the logged model, publish it and return its version; what fails leaves neither version nor files."""
    version = registry.register(model_uri, name, tags, description)
    address = ""
    try:
        if folder:
            address = publish(folder, name, version, saved_model)
        registry.mark_published(name, version)
    except BaseException:
        if folder and address:
            folder.remove(version)
        registry.withdraw(name, version)
        raise
    return version


def _warn(words: str) -> None:
    print(f"warning: {words}", file=sys.stderr, flush=True)
