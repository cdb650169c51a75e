"""The SavedModel as MLflow keeps it: a pyfunc that needs neither Berth nor a checkout to answer."""

import json
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import berth
from berth.models.saved_model import DEFAULTS, LABELS_ASSET, SETTINGS_ASSET
from berth.tracking.artifacts import unpacked

EXAMPLES = ["Are we still on for lunch tomorrow?", "You have won! Call now to claim your prize."]
_SERVING_CODE = (
    *("__init__.py", "errors.py"),
    *(f"models/{name}.py" for name in ("__init__", "decision_rule", "integrity", "pyfunc", "saved_model")),
)
"""The files below berth/ that a process needs to load the model: no checkout and no kfp."""


@dataclass(frozen=True)
class ModelInterface:
    """What a model takes and gives, and the packages that it needs, pinned."""

    labels: Sequence[str]
    requirements: Sequence[str]
    task: str = "single_label"
    pairs: bool = False

    @classmethod
    def of(cls, metadata: Mapping[str, Any], saved_model: str | Path) -> "ModelInterface":
        """Return what a model artifact says: its files, and `metadata` of the packages; an older Berth says less."""
        assets = Path(saved_model) / "assets"
        labels = (assets / LABELS_ASSET).read_text(encoding="utf-8").splitlines()
        file = assets / SETTINGS_ASSET
        settings = DEFAULTS | (json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {})
        requirements = unpacked(metadata, "requirements", ["tensorflow", "tensorflow-text", "mlflow", "pandas"])
        return cls(labels, requirements, settings["task"], bool(settings["pairs"]))


def log_model(saved_model: str | Path, interface: ModelInterface) -> str:
    """Log the SavedModel as a pyfunc on the active MLflow run and return its models:/ URI; TensorFlow is not loaded."""
    import logging

    import mlflow

    # MLflow warns at length that this environment cannot run the model: it is not meant to.
    logging.getLogger("mlflow").setLevel(logging.ERROR)

    with tempfile.TemporaryDirectory(prefix="berth-push-") as scratch:
        package = Path(scratch) / "berth"
        for name in _SERVING_CODE:
            (package / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(Path(berth.__path__[0]) / name, package / name)
        logged = mlflow.pyfunc.log_model(
            name="model",
            loader_module="berth.models.pyfunc",
            data_path=str(saved_model),
            code_paths=[str(package)],
            signature=_signature(interface),
            input_example=_example(interface.pairs),
            pip_requirements=list(interface.requirements),
        )
    return str(logged.model_uri)


def _signature(interface: ModelInterface) -> Any:
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, Schema

    names = [f"p({label})" for label in interface.labels]
    if interface.task != "multi_label":
        names.insert(0, "probability")
    answers: list[Any] = [ColSpec("string", "label"), *(ColSpec("float", name) for name in names)]
    # Without a schema of the inputs: given one, MLflow makes the text "None" of a missing text, hands a DataFrame's
    # first column to a nameless one, and takes no list for a named one. PyFunc checks its input itself.
    return ModelSignature(outputs=Schema(answers))


def _example(pairs: bool) -> Any:
    import pandas as pd

    return pd.DataFrame({"text": EXAMPLES} | ({"text_pair": EXAMPLES[::-1]} if pairs else {}))
