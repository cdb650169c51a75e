"""Registered models, fetched by name and verified: the one way from the registry to a SavedModel."""

from dataclasses import dataclass
from pathlib import Path

from berth.errors import BerthError, first_line
from berth.models import integrity
from berth.registry import versions
from berth.registry.versions import Version
from berth.tracking.tags import CHAMPION

_SCHEME = "models:/"


def is_reference(text: str) -> bool:
    """Return whether `text` is the URI of a registered model, such as models:/town-encoder@champion.

    Example:
        >>> is_reference("models:/town-encoder@champion"), is_reference("minilm")
        (True, False)
    """
    return text.startswith(_SCHEME)


@dataclass(frozen=True)
class FetchedModel:
    """The SavedModel of a registered version, as it was pushed."""

    name: str
    version: Version
    folder: Path
    digest: str
    """SHA-256 of its SHA256SUMS, in hexadecimal."""


def resolve(model: str) -> tuple[str, Version]:
    """Return the name and the version that `model` stands for now.

    Args:
        model: NAME (its champion), NAME@ALIAS, NAME/VERSION, or one of these as a models:/ URI.

    Raises:
        BerthError: there is no such model, alias or version.

    Example:
        >>> name, version = resolve("sms-spam@previous")  # the name, and the version before the champion
    """
    reference = model.removeprefix(_SCHEME).lstrip("/")
    name, slash, number = reference.rpartition("/")
    if slash:
        return name, versions.find(name, number)
    name, at, alias = reference.rpartition("@")
    if not at:
        name, alias = reference, CHAMPION
    aliases = versions.aliases(name)
    if alias not in aliases:
        versions.check_known(name)
        raise BerthError(f"{name}: no version is {alias}. 'berth models {name}' lists its versions and their aliases.")
    return name, versions.find(name, str(aliases[alias]))


def fetch(model: str, target: str | Path | None = None) -> FetchedModel:
    """Fetch the SavedModel of a registered version, every file of it as it was pushed.

    Args:
        model: What `resolve` takes.
        target: The folder to download to. None: a temporary one, or the store itself where that is a local folder.

    Raises:
        BerthError: there is no such version, or the registry's store does not hold its model as it was pushed.

    Example:
        >>> with tempfile.TemporaryDirectory() as scratch:
        ...     classifier = saved_model.load(fetch("sms-spam/2", scratch).folder)
    """
    name, version = resolve(model)
    folder, digest = _download(name, version, target)
    return FetchedModel(name, version, folder, digest)


def _download(name: str, version: Version, target: str | Path | None) -> tuple[Path, str]:
    """Return the folder of the SavedModel and the digest of its SHA256SUMS."""
    import mlflow
    from mlflow.exceptions import MlflowException

    what = f"{name} version {version.number} in the registry's store"
    uri = f"{_SCHEME}{name}/{version.number}"
    try:
        files = Path(mlflow.artifacts.download_artifacts(uri, dst_path=None if target is None else str(target)))
        # An encoder has its preprocessor below it.
        found = sorted(files.rglob("saved_model.pb"), key=lambda path: len(path.parts))
        folder = found[0].parent if found else None
    except (MlflowException, OSError) as error:
        raise BerthError(f"{what} cannot be fetched ({first_line(error)}). Choose another version.") from None
    if folder is None:
        raise BerthError(f"{what} is damaged, or not a model of Berth: saved_model.pb is missing. Choose another.")
    try:
        digest = integrity.verify(folder)
    except BerthError as error:
        reason = str(error).removeprefix(str(folder))
        raise BerthError(f"{what} is damaged{reason} Or choose another version.") from None
    if version.digest and digest != version.digest:
        raise BerthError(
            f"{what} is damaged: {integrity.SUMS} is not as it was pushed. Choose another version, or push it again."
        )
    return folder, digest
