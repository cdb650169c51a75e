"""A SavedModel as MLflow keeps it: a pyfunc that needs neither Berth nor a checkout to answer."""

import json
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import berth
from berth.models.saved_model import DEFAULTS, LABELS_ASSET, SETTINGS_ASSET
from berth.tracking.artifacts import unpacked

if TYPE_CHECKING:
    import pandas as pd
    from mlflow.models import ModelSignature

EXAMPLES = ["Are we still on for lunch tomorrow?", "You have won! Call now to claim your prize."]
_MODULES = ("__init__", "allowed_ops", "graph", "integrity", "plain_path")
_SHARED = ("__init__.py", "errors.py", *(f"models/{name}.py" for name in _MODULES))
"""The files that any model is loaded with."""


class Interface(Protocol):
    """What MLflow is told of a model, and the code that loads it."""

    @property
    def requirements(self) -> Sequence[str]:
        """The packages that it needs, pinned."""

    @property
    def code(self) -> Sequence[str]:
        """The files below berth/ that a process needs to load the model; the last one is the pyfunc's."""

    def signature(self) -> "ModelSignature":
        """Return its inputs and outputs."""

    def example(self) -> "pd.DataFrame":
        """Return an input."""


@dataclass(frozen=True)
class ModelInterface:
    """See Interface: what a classifier takes and gives, and the packages that it needs, pinned.

    Example:
        >>> interface = ModelInterface(["ham", "spam"], ["tensorflow"], pairs=True)
        >>> interface.code[-1], interface.example().columns.tolist()
        ('models/pyfunc.py', ['text', 'text_pair'])
    """

    labels: Sequence[str]
    requirements: Sequence[str]
    task: str = "single_label"
    pairs: bool = False

    @classmethod
    def of(cls, metadata: Mapping[str, str], saved_model: str | Path) -> "ModelInterface":
        """Return what a model artifact says: its files, and `metadata` of the packages; an older Berth says less."""
        assets = Path(saved_model) / "assets"
        labels = (assets / LABELS_ASSET).read_text(encoding="utf-8").splitlines()
        file = assets / SETTINGS_ASSET
        settings = DEFAULTS | (json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {})
        requirements = unpacked(metadata, "requirements", ["tensorflow", "tensorflow-text", "mlflow", "pandas"])
        return cls(labels, requirements, settings["task"], bool(settings["pairs"]))

    @property
    def code(self) -> Sequence[str]:
        return [*_SHARED, *(f"models/{name}.py" for name in ("decision_rule", "saved_model", "pyfunc"))]

    def signature(self) -> "ModelSignature":
        from mlflow.models import ModelSignature
        from mlflow.types import ColSpec, Schema, TensorSpec

        names = [f"p({label})" for label in self.labels]
        if self.task != "multi_label":
            names.insert(0, "probability")
        answers: list[ColSpec | TensorSpec] = [ColSpec("string", "label"), *(ColSpec("float", name) for name in names)]
        # Without a schema of the inputs: given one, MLflow makes the text "None" of a missing text, hands a DataFrame's
        # first column to a nameless one, and takes no list for a named one. PyFunc checks its input itself.
        return ModelSignature(outputs=Schema(answers))

    def example(self) -> "pd.DataFrame":
        import pandas as pd

        return pd.DataFrame({"text": EXAMPLES} | ({"text_pair": EXAMPLES[::-1]} if self.pairs else {}))


@dataclass(frozen=True)
class EncoderInterface:
    """See Interface: what a pre-trained encoder takes and gives, and the packages that it needs, pinned.

    Example:
        >>> interface = EncoderInterface(384, ["tensorflow"])
        >>> interface.code[-1], interface.example().columns.tolist()
        ('encoders/pyfunc.py', ['text'])
    """

    hidden: int
    """Numbers of a text's vector."""
    requirements: Sequence[str]

    @property
    def code(self) -> Sequence[str]:
        return [*_SHARED, "encoders/__init__.py", "encoders/pyfunc.py"]

    def signature(self) -> "ModelSignature":
        import numpy as np
        from mlflow.models import ModelSignature
        from mlflow.types import Schema, TensorSpec

        vectors = TensorSpec(np.dtype("float32"), (-1, self.hidden))
        return ModelSignature(outputs=Schema([vectors]))  # none of the inputs: see ModelInterface

    def example(self) -> "pd.DataFrame":
        import pandas as pd

        return pd.DataFrame({"text": EXAMPLES})


def log_model(saved_model: str | Path, interface: Interface) -> str:
    """Log a SavedModel as a pyfunc on the active MLflow run and return its models:/ URI; TensorFlow is not loaded.

    Args:
        saved_model: The sealed folder (`berth.models.integrity.seal`); it is copied as it is.
        interface: What MLflow is told of it.

    Example:
        >>> uri = log_model(folder, ModelInterface.of(model.metadata, folder))
    """
    import logging

    import mlflow

    # MLflow warns at length that this environment cannot run the model: it is not meant to.
    logging.getLogger("mlflow").setLevel(logging.ERROR)

    with tempfile.TemporaryDirectory(prefix="berth-push-") as scratch:
        package = Path(scratch) / "berth"
        for name in interface.code:
            (package / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(Path(berth.__path__[0]) / name, package / name)
        logged = mlflow.pyfunc.log_model(
            name="model",
            loader_module=f"berth.{interface.code[-1].removesuffix('.py').replace('/', '.')}",
            data_path=str(saved_model),
            code_paths=[str(package)],
            signature=interface.signature(),
            input_example=interface.example(),
            pip_requirements=list(interface.requirements),
        )
    return str(logged.model_uri)
