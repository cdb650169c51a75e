"""Predictions of a registered model, in the environment of the train image."""

import contextlib
import hashlib
import json
import re
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from berth import images
from berth.errors import BerthError
from berth.models import integrity
from berth.tracking import tags
from pipeline import mlflow_store
from pipeline.display import models
from pipeline.local.environment_process import module_process

_CHUNK = 1024
"""Texts that are sent to the model at a time, so that a long stdin is not held in memory."""


def predict(model: str, texts: Iterable[str]) -> Iterator[dict[str, Any]]:
    """Yield {text, label, probabilities} for each of `texts`, in order.

    The model runs in the environment of the train image, in a process of its own.

    Raises:
        BerthError: there is no such model, or it cannot be loaded.
    """
    folder = saved_model_dir(model)
    texts = iter(texts)
    what = f"{model}: the model cannot be loaded"
    try:
        with module_process(images.TRAIN, "berth.models.worker", str(folder), what=what) as process:
            assert process.stdin is not None
            assert process.stdout is not None
            while chunk := list(islice(texts, _CHUNK)):
                with contextlib.suppress(BrokenPipeError):
                    process.stdin.write(json.dumps(chunk) + "\n")
                    process.stdin.flush()
                answer = process.stdout.readline()
                if not answer:
                    break
                yield from json.loads(answer)
    except RuntimeError as error:  # the worker's: a traceback would not help the user
        raise BerthError(f"{what} ({str(error).splitlines()[-1]}).") from None


def saved_model_dir(model: str) -> Path:
    """Return the folder of the SavedModel that `model` names, fetched from the registry's store if it is remote.

    `model` is a registered name (its champion), NAME@ALIAS, NAME/VERSION, a models:/ URI or a folder.

    Raises:
        BerthError: there is no such model, or its manifest is not the one that was pushed.
    """
    if (Path(model) / "saved_model.pb").is_file():
        return Path(model)
    if Path(model).is_dir():
        raise BerthError(f"{model}: a folder without saved_model.pb. Name a SavedModel or a registered model.")
    uri = model if model.startswith("models:/") else f"models:/{model}"
    if not re.search(r"[@/]", uri.removeprefix("models:/")):
        uri += "@champion"
    mlflow_store.use_tracking_uri()
    import mlflow
    from mlflow.exceptions import MlflowException

    try:
        uri, digest = _version(uri)
        folder = Path(mlflow.artifacts.download_artifacts(uri))
    except MlflowException as error:
        names = models.names()
        name = re.split(r"[@/]", uri.removeprefix("models:/"))[0]
        if name in names:
            raise BerthError(f"{model}: {error.message} 'berth models {name}' lists its versions.") from None
        raise models.unknown(name, names) from None
    found = next(folder.rglob("saved_model.pb"), None)
    if found is None:
        raise BerthError(f"{model}: the registered model holds no SavedModel; it is not one of Berth's.")
    sums = found.with_name(integrity.SUMS)
    if digest and not (sums.is_file() and hashlib.sha256(sums.read_bytes()).hexdigest() == digest):
        raise BerthError(f"{model}: {integrity.SUMS} is not as it was pushed. Choose another version, or push it anew.")
    return found.parent


def _version(uri: str) -> tuple[str, str]:
    """Return the URI of the very version that `uri` names now, and the digest that is on record for its SHA256SUMS.

    Of what is no version of a registered model, or has no digest: `uri` itself, or an empty one.
    """
    import mlflow

    name, separator, which = re.fullmatch(r"models:/+([^@/]*)([@/]?)(.*)", uri, re.DOTALL).groups()  # type: ignore[union-attr]
    client = mlflow.MlflowClient()
    if separator == "@":
        found = client.get_model_version_by_alias(name, which)
    elif which.isdecimal():
        found = client.get_model_version(name, which)
    else:
        return uri, ""
    return f"models:/{name}/{found.version}", found.tags.get(tags.DIGEST, "")
