"""A training in a process of its own, on as many CPU devices as it is told; or a worker of one."""

import json
import multiprocessing
import os
import socket
from collections.abc import Sequence
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from types import SimpleNamespace
from typing import Any

# The server that forks the processes imports these once; TensorFlow starts in each of them.
import tensorflow as tf
import tensorflow_text  # noqa: F401

from berth.training import train_step
from berth.training.recipe import Recipe
from berth.training.settings import Training
from berth.training.worker import ends_in_one_line
from components.train import classifier
from components.train.__main__ import main
from components.train.step import train_model

CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload([__name__])


def start(
    folder: Path,
    dataset: Path,
    encoder: SimpleNamespace,
    devices: int = 1,
    workers: Sequence[str] = (),
    index: int = 0,
    checkpoints: str = "",
    memory_until: int = 0,
    **training: Any,
) -> ForkServerProcess:
    """Start a training of 2 epochs whose curve goes to curve.json in `folder`, with the model; return its process.

    Memory runs out in this process in the step `memory_until`; 0: never.
    """
    folder.mkdir(exist_ok=True)
    variables = {}
    if workers:
        task = {"type": "worker", "index": index}
        variables["TF_CONFIG"] = json.dumps({"cluster": {"worker": list(workers)}, "task": task})
    settings = {"folder": folder, "dataset": str(dataset), "devices": devices, "index": index, **vars(encoder)}
    settings |= {"checkpoints": checkpoints, "training": training, "memory_until": memory_until}
    process = CONTEXT.Process(target=_train, args=(SimpleNamespace(**settings), variables))
    process.start()
    return process


def addresses(count: int) -> list[str]:
    """Return free addresses of loopback."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    free = [f"127.0.0.1:{own.getsockname()[1]}" for own in sockets]
    for own in sockets:
        own.close()
    return free


def _train(settings: SimpleNamespace, variables: dict[str, str]) -> None:
    folder = settings.folder
    with (folder / "log").open("a") as log:
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
    os.environ.update(variables)
    (cpu,) = tf.config.list_physical_devices("CPU")
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * settings.devices)
    if settings.memory_until:
        _run_out(settings.memory_until)
    classifier.DROPOUT = 0.0  # replicas draw masks of their own
    recipe = Recipe("berth", 2, 31, 1e-3, 0.1, 0.01, 0, Training(precision="float32", **settings.training))
    others = {"encoder": settings.encoder, "preprocessor": settings.preprocessor, "sequence_length": 32}
    others |= {"pooling": "auto", "long_texts": "truncate", "threshold_metric": "macro_f1", "require_gpu": False}
    if settings.index:
        with ends_in_one_line():
            main(settings.dataset, {**others, **vars(recipe), "training": dict(recipe.training)})
        return
    curve: list[tuple[int, float]] = []

    def log_metrics(values: dict[str, float], step: int) -> None:
        curve.extend((step, value) for name, value in values.items() if name in ("steps/train_loss", "val_loss"))
        (folder / "curve.json").write_text(json.dumps(curve))

    train_model(
        settings.dataset,
        folder / "model",
        folder / "predictions.parquet",
        recipe=recipe,
        checkpoints=settings.checkpoints,
        checkpoint_minutes=1e-9,
        log_metrics=log_metrics,
        **others,
    )


def _run_out(step: int) -> None:
    """Let the 0-based `step` fail as TensorFlow does when memory runs out, before it gets to the other processes."""
    original = train_step.TrainStep._step

    def limited(own: Any, parts: Any, rate: float, number: int, *rest: Any) -> Any:
        if number == step:
            raise tf.errors.ResourceExhaustedError(None, None, "OOM when allocating tensor")
        return original(own, parts, rate, number, *rest)

    train_step.TrainStep._step = limited  # type: ignore[method-assign]
