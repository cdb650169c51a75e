"""Fetch a registered model, verified."""

from pathlib import Path

from berth.errors import BerthError, first_line
from berth.models import integrity


def fetch(name: str, version: int, digest: str, target: str | Path) -> Path:
    """Fetch the SavedModel of a registered version to the folder `target`, and return where it is there.

    `digest` is that of its SHA256SUMS; empty: it was registered without one.

    Raises:
        BerthError: the registry's store does not have it as it was pushed.
    """
    import mlflow
    from mlflow.exceptions import MlflowException

    what = f"{name} version {version} in the registry's store"
    try:
        folder = Path(mlflow.artifacts.download_artifacts(f"models:/{name}/{version}", dst_path=str(target)))
        found = next((path.parent for path in folder.rglob("saved_model.pb")), None)
    except (MlflowException, OSError) as error:
        raise BerthError(f"{what} cannot be fetched ({first_line(error)}). Choose another version.") from None
    if found is None:
        raise BerthError(f"{what} is damaged: saved_model.pb is missing. Choose another version.")
    try:
        actual = integrity.verify(found)
    except BerthError as error:
        raise BerthError(f"{what} is damaged{str(error).removeprefix(str(found))} Or choose another version.") from None
    if digest and actual != digest:
        raise BerthError(f"{what} is damaged: {integrity.SUMS} is not as it was pushed. Choose another version.")
    return found
