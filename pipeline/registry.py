"""What `berth predict`, `berth runs` and `berth ui` look at: MLflow's runs and its model registry."""

import contextlib
import datetime
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

from rich.markup import escape
from rich.table import Table

from components.common import images, tracking
from components.common.errors import BerthError, nearest
from pipeline import home

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
        folder = Path(mlflow.artifacts.download_artifacts(uri))
    except MlflowException as error:
        names = sorted(registered.name for registered in mlflow.MlflowClient().search_registered_models())
        name = re.split(r"[@/]", uri.removeprefix("models:/"))[0]
        if name in names:
            raise BerthError(f"{model}: {error.message}") from None
        known = f"Registered: {', '.join(names)}." if names else "None is: run 'berth run CONFIG' first."
        raise BerthError(f"no model {name!r} is registered.{nearest(name, names)} {known}") from None
    found = next(folder.rglob("saved_model.pb"), None)
    if found is None:
        raise BerthError(f"{model}: the registered model holds no SavedModel; it is not one of Berth's.")
    return found.parent


def runs_table(experiment: str | None, limit: int) -> Table:
    """Return the newest pipeline runs as a table: when, how they ended, and what their models scored."""
    home.use_tracking_uri()
    import mlflow

    client = mlflow.MlflowClient()
    experiments = {found.experiment_id: found.name for found in client.search_experiments()}
    if experiment is not None:
        chosen = {key: name for key, name in experiments.items() if name == experiment}
        if not chosen:
            raise BerthError(f"no run of the name {experiment!r}.{nearest(experiment, list(experiments.values()))}")
        experiments = chosen
    found = client.search_runs(
        list(experiments),
        f"tags.`{tracking.KFP_RUN_ID}` != ''",
        max_results=limit,
        order_by=["attributes.start_time DESC"],
    )
    table = Table(box=None, padding=(0, 1), header_style="dim")
    for column in ("run", "started", "took", "result"):
        table.add_column(column)
    for column in ("accuracy", "macro F1"):
        table.add_column(column, justify="right")
    for run in found:
        started = datetime.datetime.fromtimestamp(run.info.start_time / 1000)
        took = f"{(run.info.end_time - run.info.start_time) / 1000:.0f} s" if run.info.end_time else ""
        scores = (
            f"{run.data.metrics[name]:.4f}" if name in run.data.metrics else "" for name in ("accuracy", "macro_f1")
        )
        table.add_row(escape(run.info.run_name), f"{started:%Y-%m-%d %H:%M}", took, escape(_outcome(run)), *scores)
    return table


def _outcome(run: Any) -> str:
    """Return the verdict of a run that finished, the step that failed, or what the run's status is."""
    if run.info.status == "FINISHED":
        return str(run.data.tags.get(tracking.VERDICT, run.info.status)).split(":")[0]
    failed = run.data.tags.get(tracking.ERROR, "").partition(":")[0]
    return f"{run.info.status}: {failed}" if failed else str(run.info.status)


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
    os.environ.setdefault(
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION", "false"
    )  # workers for features that Berth has no use for
    arguments = ["-m", "mlflow", "ui", "--backend-store-uri", uri, "--host", "127.0.0.1", "--port", str(port)]
    os.execv(sys.executable, [sys.executable, *arguments])


def _last_words(process: "subprocess.Popen[str]", model: str) -> str:
    """Return why the process that was to load `model` ended."""
    _, errors = process.communicate()
    last = next((line for line in reversed((errors or "").splitlines()) if line.strip()), "it ended without a word")
    own = last.removeprefix("components.common.errors.BerthError: ")
    return own if own != last else f"{model}: the model cannot be loaded ({last})."
