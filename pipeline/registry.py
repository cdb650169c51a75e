"""What `berth predict` and `berth ui` need: a model out of MLflow's registry or a folder, and MLflow itself."""

import contextlib
import hashlib
import json
import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from components.common import images, integrity, tag
from components.common.errors import BerthError
from pipeline import home, models

_REFUSALS = ("UNAUTHENTICATED", "PERMISSION_DENIED", "TEMPORARILY_UNAVAILABLE")
_BROKEN = "INTERNAL_ERROR"
_REFUSED = re.compile(r"failed with error code (401|403|5\d\d)\b|too many 5\d\d error responses")
_FIRST = 300
"""Characters of a server's answer that are shown: it may be a whole page."""
_CHUNK = 1024
"""Texts that are sent to the model at a time, so that a long stdin is not held in memory."""


def predict(model: str, texts: Iterable[str]) -> Iterator[dict[str, Any]]:
    """Yield {text, label, probabilities} for each of `texts`, in order.

    The model runs in the environment of the train image, in a process of its own.

    Raises:
        BerthError: there is no such model, or it cannot be loaded.
    """
    folder = saved_model_dir(model)
    command = [str(home.environment_bin(images.TRAIN) / "python3"), "-m", "components.common.predict", str(folder)]
    texts = iter(texts)
    with subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE if not os.environ.get("BERTH_DEBUG") else None,
        encoding="utf-8",
        env={**os.environ, "PYTHONPATH": str(home.CHECKOUT)},
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        while chunk := list(islice(texts, _CHUNK)):
            with contextlib.suppress(BrokenPipeError):
                process.stdin.write(json.dumps(chunk) + "\n")
                process.stdin.flush()
            answer = process.stdout.readline()
            if not answer:
                raise BerthError(_last_words(process, model))
            yield from json.loads(answer)
        process.stdin.close()


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
    home.use_tracking_uri()
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
    return f"models:/{name}/{found.version}", found.tags.get(tag.DIGEST, "")


def refusal(error: Exception) -> BerthError | None:
    """Return in one line what `error` says where it is MLflow's server that refuses or is down; None: it is not."""
    from mlflow.exceptions import MlflowException, RestException

    uri = home.redacted(os.environ.get("MLFLOW_TRACKING_URI", ""))
    if not isinstance(error, MlflowException) or not uri.startswith(("http://", "https://")):
        return None
    refused = error.error_code in _REFUSALS or (isinstance(error, RestException) and error.error_code == _BROKEN)
    if not refused and not _REFUSED.search(str(error)):
        return None
    first = next((line.strip() for line in str(error).splitlines() if line.strip()), str(error.error_code))
    return BerthError(
        f"MLflow at {uri} refused: {first[:_FIRST].rstrip('.')}. Check MLFLOW_TRACKING_URI and its credentials."
    )


def serve_ui(port: int) -> None:
    """Become `mlflow ui` on 127.0.0.1:`port`, on the store in use."""
    if home.tracking_uri().startswith(("http://", "https://")):
        raise BerthError(f"MLFLOW_TRACKING_URI is a server: open {home.redacted(home.tracking_uri())} in a browser.")
    uri = home.use_tracking_uri()
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            raise BerthError(f"port {port} on 127.0.0.1 is taken. Choose another with --port.") from None
    print(f"MLflow on http://127.0.0.1:{port} (Ctrl-C ends it)", flush=True)
    os.environ.setdefault("MLFLOW_SERVER_ENABLE_JOB_EXECUTION", "false")  # workers for what Berth has no use for
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")  # else it asks a server on the internet what to report
    one_person = ["--host", "127.0.0.1", "--port", str(port), "--workers", "1"]  # each worker imports MLflow for itself
    arguments = ["-m", "mlflow", "ui", "--backend-store-uri", uri, *one_person]
    os.execv(sys.executable, [sys.executable, *arguments])


def _last_words(process: "subprocess.Popen[str]", model: str) -> str:
    """Return why the process that was to load `model` ended."""
    _, errors = process.communicate()
    last = next((line for line in reversed((errors or "").splitlines()) if line.strip()), "it ended without a word")
    own = last.removeprefix("components.common.errors.BerthError: ")
    return own if own != last else f"{model}: the model cannot be loaded ({last})."
