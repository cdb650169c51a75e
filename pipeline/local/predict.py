"""Predictions of a registered model, in the environment of the train image."""

from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from berth import images
from berth.errors import BerthError
from berth.models.integrity import ENCODER_FACTS
from berth.registry.fetch import fetch
from pipeline import mlflow_store
from pipeline.local.environment_process import ask, module_process

_CHUNK = 1024
"""Texts that are sent to the model at a time, so that a long stdin is not held in memory."""
_EXPLAINED = 16
"""The same to explain them, which takes 50 times as long."""


def predict(model: str, texts: Iterable[str], explain: bool = False) -> Iterator[dict[str, Any]]:
    """Yield {text, label, probabilities} for each of `texts`, in order; to `explain` it, explanation as well.

    The model runs in the environment of the train image, in a process of its own.

    Raises:
        BerthError: there is no such model, or it cannot be loaded.
    """
    folder = saved_model_dir(model)
    texts = iter(texts)
    flags = ["--explain"] if explain else []
    what = f"{model}: the model cannot be loaded"
    try:
        with module_process(images.TRAIN, "berth.explaining.worker", str(folder), *flags, what=what) as process:
            while chunk := list(islice(texts, _EXPLAINED if explain else _CHUNK)):
                answer = ask(process, chunk)
                if answer is None:
                    break
                yield from answer
    except RuntimeError as error:  # the worker's: a traceback would not help the user
        raise BerthError(f"{what} ({str(error).splitlines()[-1]}).") from None


def saved_model_dir(model: str) -> Path:
    """Return the folder of the SavedModel that `model` names, fetched from the registry's store if it is remote.

    `model` is a folder, or what `berth.registry.fetch.fetch` takes; raises as that does.
    """
    if (Path(model) / "saved_model.pb").is_file():
        return _classifier(model, Path(model))
    if Path(model).is_dir():
        raise BerthError(f"{model}: a folder without saved_model.pb. Name a SavedModel or a registered model.")
    mlflow_store.use_tracking_uri()
    return _classifier(model, fetch(model).folder)


def _classifier(model: str, folder: Path) -> Path:
    if (folder / ENCODER_FACTS).is_file():
        raise BerthError(f"{model}: an encoder, which has no labels. See what it knows with 'berth fill'.")
    return folder
