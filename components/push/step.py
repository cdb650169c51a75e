"""The push step: a blessed model becomes the champion, in MLflow's registry and in the serving folder.

Kill -9 at any point leaves the champion and its files as they were; the next push clears what was left.
"""

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from berth.errors import BerthError
from berth.models import integrity, package
from berth.models.package import Interface
from berth.registry import serving_folder, versions
from berth.registry.publishing import clear, publish_again, published_by, retain, warn, withdrawn_as
from berth.tracking.tags import CHALLENGER, CHAMPION, DIGEST, KIND, PIPELINE_RUN, PUBLISHED, SERVING_FOLDER


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
    tags: Mapping[str, str],
    description: str = "",
    keep: int = 5,
    judged_against: int | None = None,
) -> Pushed:
    """Log, register and publish the model under the active MLflow run; the alias that users follow moves last.

    Whatever fails before that leaves the champion and its serving folder as they were. An empty `push_to` means the
    registry alone. The serving folder then holds `keep` versions.

    Files that a rollback or a promotion withdrew become the challenger instead. Within one pipeline run a push can be
    repeated: it goes on with the version that it has published. `judged_against` is the champion that evaluate compared
    the model with, 0 for none; None: not known.

    Raises:
        BerthError: the model is not as it was exported, its name is taken by models of another kind, the serving
            folder cannot be written, or another version has become the champion since the model was judged.
    """
    digest = integrity.verify(saved_model)
    versions.check_kind(name, tags.get(KIND, ""))
    folder = serving_folder.serving_folder(push_to, name) if push_to else None
    if folder:
        folder.prepare()
    tags = {**tags, DIGEST: digest, PUBLISHED: "pending", SERVING_FOLDER: folder.address if folder else ""}
    version = published_by(str(tags.get(PIPELINE_RUN, "")), name, digest)
    model_uri = "" if version else package.log_model(saved_model, interface)
    with folder.locked() if folder else contextlib.nullcontext():
        clear(folder, name)
        if not version:
            if withdrawn := withdrawn_as(name, digest):
                version = versions.register(model_uri, name, {**tags, PUBLISHED: "no"}, description)
                versions.make_challenger(name, version)
                return Pushed(name, version, True, versions.aliases(name).get(CHAMPION, 0), withdrawn_as=withdrawn)
            _check_champion(name, judged_against)
            version = publish_again(folder, name, Path(saved_model), model_uri, tags, description)
        champion = versions.converge(name)
        if folder:
            try:
                retain(folder, name, keep)
            except BerthError as error:  # users have their model: an old version too many does not fail the push
                warn(f"an old version could not be removed: {error}")
    return Pushed(name, version, True, champion, f"{folder.address}/{version}" if folder else "")


def _check_champion(name: str, judged_against: int | None) -> None:
    """Raise BerthError if users have another champion by now than the one that the model was compared with."""
    champion = versions.aliases(name).get(CHAMPION, 0)
    if judged_against is None or champion == judged_against:
        return
    now = f"version {champion} is its {CHAMPION}" if champion else f"it has no {CHAMPION}"
    then = f"version {judged_against}" if judged_against else f"no {CHAMPION}"
    raise BerthError(
        f"{name}: {now} by now, and this model was compared with {then}. It is not pushed. Start the run again: "
        "it takes the training from the cache and compares the model with what users have now."
    )


def refuse_model(
    saved_model: str | Path,
    name: str,
    push_to: str,
    interface: Interface,
    tags: Mapping[str, str],
    description: str = "",
) -> Pushed:
    """Log and register the model that was not blessed as the challenger; what users get stays as it is.

    `push_to` is where a promotion would publish it.

    Raises:
        BerthError: the model is not as it was exported, or its name is taken by models of another kind.
    """
    digest = integrity.verify(saved_model)
    versions.check_kind(name, tags.get(KIND, ""))
    address = serving_folder.serving_folder(push_to, name).address if push_to else ""
    tags = {**tags, DIGEST: digest, SERVING_FOLDER: address}
    version = versions.register(package.log_model(saved_model, interface), name, tags, description)
    versions.make_challenger(name, version)
    return Pushed(name, version, False, versions.aliases(name).get(CHAMPION, 0))
