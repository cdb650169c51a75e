"""Another version becomes the champion by hand: a rollback, or a promotion. Alias and serving folder move together.

Every step can be repeated: what is killed half-way is finished by calling it again.
"""

import contextlib
import datetime
import getpass
import os
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field

from berth.errors import BerthError, printable
from berth.registry import serving_folder, versions
from berth.registry.fetch import FetchedModel, fetch
from berth.registry.publishing import clear, publish
from berth.registry.versions import Version
from berth.tracking.tags import AUDIT, CHAMPION, PREVIOUS, PUBLISHED, WITHDRAWN

_REASON = 500
"""Characters of a reason that are kept."""


@dataclass(frozen=True)
class Switched:
    """What a rollback or a promotion did."""

    name: str
    old: int
    """The champion before; 0: none."""
    new: int
    blessed: bool
    folder: str = ""
    """The serving folder; empty: the registry knows none."""
    removed: list[int] = field(default_factory=list)
    """Versions that are no longer in the serving folder."""


def rollback(name: str, to: int | None, reason: str) -> Switched:
    """Make version `to` of `name` the champion again; None: the one that was champion before.

    Raises:
        BerthError: there is none, it was never published, or its stored model is damaged: nothing has moved then.
    """
    with _held(name) as folder:
        aliases = versions.aliases(name)
        champion, target = aliases.get(CHAMPION, 0), to or aliases.get(PREVIOUS, 0)
        if not champion:
            raise BerthError(f"{name}: no version is {CHAMPION}, so there is nothing to roll back.")
        if to is None and target in (0, champion):
            raise BerthError(f"{name}: there is no {PREVIOUS} version to roll back to. Name one with --to.")
        version = _version(name, target)
        if target == champion:
            raise BerthError(f"{name} version {target} is {CHAMPION} already.")
        if not version.published and not version.blessed:
            raise BerthError(
                f"{name} version {target} was not blessed and never served. "
                f"'berth promote {name} {target} --reason WHY' makes it the {CHAMPION} all the same."
            )
        return _switch(folder, "rollback", name, champion, version, reason)


def promote(name: str, number: int, reason: str) -> Switched:
    """Make a version of `name` the champion, blessed or not; of the champion itself nothing is changed.

    Raises:
        BerthError: there is no such version, no reason, or its stored model is damaged: nothing has moved then.
    """
    if not reason.strip():
        raise BerthError("--reason is empty. Say why: it is kept with the version.")
    with _held(name) as folder:
        champion, version = versions.aliases(name).get(CHAMPION, 0), _version(name, number)
        if number == champion:
            return Switched(name, champion, number, version.blessed, folder.address if folder else "")
        return _switch(folder, "promotion", name, champion, version, reason)


@contextlib.contextmanager
def _held(name: str) -> Iterator[serving_folder.ServingFolder | None]:
    """Yield the serving folder of `name`, without what killed pushes left, and keep pushes to it out."""
    known = versions.versions(name)
    champion = versions.aliases(name).get(CHAMPION, 0)
    # The champion's: that is where users are served from.
    known.sort(key=lambda version: version.number != champion)
    address = next((version.serving_folder for version in known if version.serving_folder), "")
    folder = serving_folder.at(address) if address else None
    with folder.locked() if folder else contextlib.nullcontext():
        clear(folder, name)
        yield folder


def _version(name: str, number: int) -> Version:
    found = versions.find(name, str(number))
    if found.pending:
        raise BerthError(f"{name} version {number} is being pushed. Wait for that, or choose another version.")
    return found


def _switch(
    folder: serving_folder.ServingFolder | None, action: str, name: str, champion: int, target: Version, reason: str
) -> Switched:
    """Publish `target`, take what is above it from users, and move the alias, in this order."""
    with tempfile.TemporaryDirectory(prefix="berth-switch-") as scratch:
        stored = fetch(f"{name}/{target.number}", scratch)
        if folder:
            _put(folder, stored)
    known = versions.versions(name)
    above = [version for version in known if version.number > target.number and not version.pending]
    for version in above:
        if (version.published or version.number == champion) and not version.withdrawn:
            versions.set_tag(name, version.number, WITHDRAWN, f"{action} to {target.number}")
    versions.mark_published(name, target.number)
    removed = []
    for number in sorted(folder.versions() & {version.number for version in above}) if folder else []:
        assert folder is not None
        folder.remove(number)
        removed.append(number)
    _audit(action, name, champion, target.number, reason)
    new = versions.converge(name)
    return Switched(name, champion, new, target.blessed, folder.address if folder else "", removed)


def _put(folder: serving_folder.ServingFolder, stored: FetchedModel) -> None:
    """See that `folder` holds the version as the registry does."""
    target = stored.version
    if folder.intact(target.number, stored.digest):
        return
    # Else a version of this number is another registry's; of an older Berth's versions only the verdict is known.
    if target.published or (target.blessed and PUBLISHED not in target.tags):
        folder.remove(target.number)
    publish(folder, stored.name, target.number, stored.folder)


def _audit(action: str, name: str, old: int, new: int, reason: str) -> None:
    """Note on both versions who moved the alias, when and why."""
    now = datetime.datetime.now(datetime.UTC)
    key = f"{AUDIT}{now:%Y%m%dT%H%M%S}.{now.microsecond // 1000:03}Z"
    came_from = f"from {old} " if old else ""
    words = f"{action} {came_from}to {new} by {_user()}"
    if reason.strip():
        words += f": {printable(' '.join(reason.split()))[:_REASON]}"
    for version in {old, new} - {0}:
        versions.set_tag(name, version, key, words)


def _user() -> str:
    try:
        return printable(getpass.getuser())
    except (KeyError, OSError):  # a container may run as a user that nobody named
        return f"user {os.getuid()}"
