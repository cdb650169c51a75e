"""Publish versions to a serving folder and remove old ones."""

import sys
from collections.abc import Mapping
from pathlib import Path

from berth.errors import BerthError
from berth.registry import serving_folder, versions
from berth.registry.object_folder import ABANDONED
from berth.tracking.tags import CHAMPION, PIPELINE_RUN, PREVIOUS


def clear(folder: serving_folder.ServingFolder | None, name: str) -> None:
    """Remove what killed pushes to `folder` left in it and in the registry; to be called `locked`.

    None: what killed pushes to the registry alone left there.
    """
    if folder:
        try:
            folder.sweep()
        except BerthError as error:  # nothing that is hidden keeps a push from its end
            warn(f"leftovers of an earlier push stay: {error}")
        for left in versions.abandoned(name, folder.address, 0 if folder.serialised else ABANDONED):
            if folder.digest(left.number) == left.digest:  # else it is another registry's
                folder.remove(left.number)
            versions.withdraw(name, left.number, missing_ok=True)
    for left in versions.abandoned(name, "", ABANDONED):
        versions.withdraw(name, left.number, missing_ok=True)


def publish(folder: serving_folder.ServingFolder, name: str, version: int, saved_model: Path) -> str:
    """Copy the model to its place in `folder` and return its address there.

    Raises:
        BerthError: TensorFlow Serving would not serve it, for another registry's version of a higher number.
    """
    own = {known.number for known in versions.versions(name)} - {version}
    serving_folder.check_versions_known(folder, own, version)
    return folder.publish(saved_model, version)


def retain(folder: serving_folder.ServingFolder, name: str, keep: int) -> None:
    """Remove versions below the champion from `folder` until `keep` of this registry's are left.

    The champion stays, then what a rollback goes to, then the newest. The registry keeps every version.
    """
    aliases = versions.aliases(name)
    champion, previous = aliases.get(CHAMPION, 0), aliases.get(PREVIOUS, 0)
    own = folder.versions() & {version.number for version in versions.versions(name)}
    ranked = sorted(own, key=lambda number: (number >= champion, number == previous, number), reverse=True)
    for number in ranked[keep:]:
        if number < champion:
            folder.remove(number)


def published_by(run_id: str, name: str, digest: str) -> int:
    """Return the version as which the pipeline run has published these files before; 0: it has not."""
    known = versions.versions(name) if run_id else []
    return next(
        (
            version.number
            for version in known
            if version.published and version.digest == digest and version.tags.get(PIPELINE_RUN) == run_id
        ),
        0,
    )


def withdrawn_as(name: str, digest: str) -> int:
    """Return the version as which these files were taken from users, unless they were given back later; 0: none."""
    served = (version for version in versions.versions(name) if version.published or version.withdrawn)
    newest = next((version for version in served if version.digest == digest), None)
    return newest.number if newest and newest.withdrawn else 0


def publish_again(
    folder: serving_folder.ServingFolder | None,
    name: str,
    saved_model: Path,
    model_uri: str,
    tags: Mapping[str, object],
    description: str,
) -> int:
    """Register a logged model, publish it and return its version; a failure leaves neither version nor files.

    Args:
        folder: Where users get the model. None: it is published in the registry alone.
        saved_model: The folder of the SavedModel to copy.
        model_uri: The same model as MLflow logged it, `runs:/RUN/model`.
        tags: Tags of the version; each value is kept as its text.
        description: Markdown that MLflow shows with the version.
    """
    version = versions.register(model_uri, name, tags, description)
    address = ""
    try:
        if folder:
            address = publish(folder, name, version, saved_model)
        versions.mark_published(name, version)
    except BaseException:
        if folder and address:
            folder.remove(version)
        versions.withdraw(name, version)
        raise
    return version


def warn(words: str) -> None:
    """Print a warning to the step's log: what went wrong, and did not stop the push."""
    print(f"warning: {words}", file=sys.stderr, flush=True)
