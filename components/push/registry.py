"""MLflow's side of a push: the logged pyfunc, the registered version, the alias that users follow."""

import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import components
from components.common.tracking import CHAMPION

EXAMPLES = ["Are we still on for lunch tomorrow?", "You have won! Call now to claim your prize."]
_SERVING_CODE = ("__init__.py", "common/__init__.py", "common/errors.py", "common/saved_model.py")
"""What a process needs to load the model, below components/: no checkout and no kfp."""


def log_model(saved_model: str | Path, labels: Sequence[str], requirements: Sequence[str]) -> str:
    """Log the SavedModel as a pyfunc on the active MLflow run and return its models:/ URI; TensorFlow is not loaded."""
    import logging

    import mlflow
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, Schema

    # MLflow warns at length that this environment cannot run the model: it is not meant to.
    logging.getLogger("mlflow").setLevel(logging.ERROR)

    # Without a name a column takes a list of texts too; with one MLflow wants a DataFrame.
    probabilities = [ColSpec("float", name) for name in ("probability", *(f"p({label})" for label in labels))]
    signature = ModelSignature(
        inputs=Schema([ColSpec("string")]), outputs=Schema([ColSpec("string", "label"), *probabilities])
    )
    with tempfile.TemporaryDirectory(prefix="berth-push-") as scratch:
        package = Path(scratch) / "components"
        for name in _SERVING_CODE:
            (package / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(Path(components.__path__[0]) / name, package / name)
        logged = mlflow.pyfunc.log_model(
            name="model",
            loader_module="components.common.saved_model",
            data_path=str(saved_model),
            code_paths=[str(package)],
            signature=signature,
            input_example=_example(),
            pip_requirements=list(requirements),
        )
    return str(logged.model_uri)


def register(model_uri: str, name: str, tags: Mapping[str, Any]) -> str:
    """Register the logged model as a new version of `name` and return the version's number."""
    import mlflow

    registered = mlflow.register_model(model_uri, name, tags={key: str(value) for key, value in tags.items()})
    return str(registered.version)


def withdraw(name: str, version: str) -> None:
    """Delete a version that never became visible to users."""
    import mlflow

    mlflow.MlflowClient().delete_model_version(name, version)


def make_champion(name: str, version: str) -> None:
    """Move the alias that users follow to `version`."""
    import mlflow

    mlflow.MlflowClient().set_registered_model_alias(name, CHAMPION, version)


def _example() -> Any:
    import pandas as pd

    return pd.DataFrame({"text": EXAMPLES})
