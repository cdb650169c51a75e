"""MLflow's registry: versions, their tags, and the aliases that users follow. Stages are never used.

The champion is always the highest version that is published and not withdrawn. Whoever changes what is published
calls `converge`, which moves the alias there and looks again after it has: of several at once the last one to move it
sees what all of them published, so that the alias ends where it belongs without a lock.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from berth.errors import BerthError, nearest
from berth.tracking import tags
from berth.tracking.tags import CHALLENGER, CHAMPION, DIGEST, PREVIOUS, PUBLISHED, SERVING_FOLDER, VERDICT, WITHDRAWN

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion


_ROUNDS = 100
"""More than any number of pushes at once can need."""


@dataclass(frozen=True)
class Version:
    """A registered version.

    Example:
        >>> version = Version(3, {"berth.published": "yes", "berth.verdict": "BLESSED"}, created=0.0)
        >>> version.published, version.blessed, version.withdrawn
        (True, True, False)
    """

    number: int
    tags: Mapping[str, str]
    created: float
    """Seconds since the epoch."""

    @classmethod
    def of(cls, found: "ModelVersion") -> "Version":
        """Return MLflow's version `found` as one of Berth's."""
        return cls(int(found.version), dict(found.tags), found.creation_timestamp / 1000)

    @property
    def pending(self) -> bool:
        """Whether its push has not ended, or never will."""
        return self.tags.get(PUBLISHED) == "pending"

    @property
    def published(self) -> bool:
        return self.tags.get(PUBLISHED) == "yes"

    @property
    def withdrawn(self) -> bool:
        return WITHDRAWN in self.tags

    @property
    def blessed(self) -> bool:
        return self.tags.get(VERDICT, "") == "BLESSED"

    @property
    def digest(self) -> str:
        return self.tags.get(DIGEST, "")

    @property
    def serving_folder(self) -> str:
        return self.tags.get(SERVING_FOLDER, "")


def names() -> list[str]:
    """Return the names of the registered models, sorted."""
    import mlflow

    return sorted(registered.name for registered in mlflow.search_registered_models())


def check_known(name: str) -> None:
    """Raise BerthError, with the nearest names, where no model `name` is registered."""
    known = names()
    if name not in known:
        first = "None is: run 'berth run CONFIG' or 'berth pretrain CONFIG' first."
        registered = f"Registered: {', '.join(known)}." if known else first
        raise BerthError(f"no model {name!r} is registered.{nearest(name, known)} {registered}")


def kind_of(name: str) -> str:
    """Return what the versions of `name` are: `encoder`, or empty for classifiers, and where there are none."""
    return next((version.tags.get(tags.KIND, "") for version in versions(name)), "")


def check_kind(name: str, kind: str) -> None:
    """Raise BerthError where `name` is that of models of another kind: `encoder`, or empty for classifiers."""
    if versions(name) and (found := kind_of(name)) != kind:
        is_one = "an encoder" if found else "a classifier"
        raise BerthError(f"model_name: {name} is registered, and is {is_one}. Choose another model_name.")


def register(model_uri: str, name: str, tags: Mapping[str, object], description: str) -> int:
    """Register the logged model as a new version of `name` and return the version's number.

    Args:
        model_uri: The model as MLflow logged it, `runs:/RUN/model`.
        name: The registered model; it is made if it does not exist.
        tags: Tags of the version; each value is kept as its text.
        description: Markdown that MLflow shows with the version.
    """
    import mlflow

    registered = mlflow.register_model(model_uri, name, tags={key: str(value) for key, value in tags.items()})
    mlflow.MlflowClient().update_model_version(name, str(registered.version), description=description)
    return int(registered.version)


def withdraw(name: str, version: int, missing_ok: bool = False) -> None:
    """Delete a version that never became visible to users; the logged model stays with its run.

    `missing_ok`: another push may have deleted it a moment ago.
    """
    import mlflow
    from mlflow.exceptions import MlflowException

    try:
        mlflow.MlflowClient().delete_model_version(name, str(version))
    except MlflowException as error:
        if not missing_ok or error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise


def versions(name: str) -> list[Version]:
    """Return every version of `name`, newest first; an empty list if there is no such model.

    Example:
        >>> blessed = [version.number for version in versions("sms-spam") if version.blessed]
    """
    import mlflow

    quote = '"' if "'" in name else "'"
    found = mlflow.search_model_versions(filter_string=f"name = {quote}{name}{quote}")
    return sorted((Version.of(version) for version in found), key=lambda version: -version.number)


def find(name: str, number: str) -> Version:
    """Return version `number` of `name`.

    Raises:
        BerthError: there is no such model, or no such version of it.
    """
    known = versions(name)
    for version in known:
        if str(version.number) == number:
            return version
    if not known:
        check_known(name)
    numbers = ", ".join(str(version.number) for version in known) or "none"
    raise BerthError(f"{name} has no version {number}. Its versions: {numbers}.")


def aliases(name: str) -> dict[str, int]:
    """Return the version that each alias of `name` points to; an empty dict if there is no such model.

    Example:
        >>> champion = aliases("sms-spam")["champion"]
    """
    import mlflow
    from mlflow.exceptions import MlflowException

    try:
        registered = mlflow.MlflowClient().get_registered_model(name)
    except MlflowException as error:
        if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            return {}
        raise
    return {alias: int(version) for alias, version in registered.aliases.items()}


def set_tag(name: str, version: int, key: str, value: str) -> None:
    """Put a tag on a version."""
    import mlflow

    mlflow.MlflowClient().set_model_version_tag(name, str(version), key, value)


def mark_published(name: str, version: int) -> None:
    """Say that the version's files are where users get them, and that it may be the champion."""
    import mlflow

    client = mlflow.MlflowClient()
    set_tag(name, version, PUBLISHED, "yes")
    if WITHDRAWN in client.get_model_version(name, str(version)).tags:
        client.delete_model_version_tag(name, str(version), WITHDRAWN)


def make_challenger(name: str, version: int) -> None:
    """Point the challenger's alias to `version`, unless it points to a later one."""
    import mlflow

    if aliases(name).get(CHALLENGER, 0) < version:
        mlflow.MlflowClient().set_registered_model_alias(name, CHALLENGER, str(version))


def converge(name: str) -> int:
    """Move the champion's alias to the highest version that is published and not withdrawn, and return that version.

    `previous` becomes what was champion; the champion's alias moves last.

    Raises:
        BerthError: another program keeps moving the alias.
        ValueError: no version is published.
    """
    import mlflow

    client = mlflow.MlflowClient()
    for _ in range(_ROUNDS):
        champion = aliases(name).get(CHAMPION, 0)
        target = max(version.number for version in versions(name) if version.published and not version.withdrawn)
        if champion == target:
            if aliases(name).get(CHALLENGER) == target:
                client.delete_registered_model_alias(name, CHALLENGER)
            return target
        if champion:
            client.set_registered_model_alias(name, PREVIOUS, str(champion))
        client.set_registered_model_alias(name, CHAMPION, str(target))
    raise BerthError(
        f"{name}: the alias {CHAMPION} is moved by something else again and again. Stop it, then push again."
    )


def abandoned(name: str, address: str, older_than: float) -> list[Version]:
    """Return the versions whose pushes to `address` (empty: to the registry alone) were killed.

    A push that may still be at work is spared: one that began within the last `older_than` seconds.
    """
    now = time.time()
    return [
        version
        for version in versions(name)
        if version.pending and version.serving_folder == address and now - version.created >= older_than
    ]


def champion(model_name: str) -> "ModelVersion | None":
    """Return the version that users follow; None: nobody has pushed one.

    Every other error of the registry is raised: a champion that cannot be read is not a missing one.
    """
    import mlflow
    from mlflow.exceptions import MlflowException

    try:
        return mlflow.MlflowClient().get_model_version_by_alias(model_name, tags.CHAMPION)
    except MlflowException as error:
        # Without the model, and without the alias.
        if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            return None
        raise
