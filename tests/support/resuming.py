"""A training in a process of its own, which can be killed at a point, or asked to end."""

import json
import multiprocessing
import os
import signal
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

# The server that forks the processes imports these once; TensorFlow starts in each of them.
import tensorflow as tf
import tensorflow_text  # noqa: F401

from berth.training import checkpoint_storage, train_step, trainer
from berth.training.recipe import Recipe
from berth.training.settings import Training
from components.train.step import train_model

CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload([__name__])

POINTS: dict[str, tuple[Any, str]] = {
    "step": (train_step.TrainStep, "_step"),
    "save": (checkpoint_storage.LocalCheckpoints, "write"),
    "evaluation": (trainer.Trainer, "_evaluate"),
}
"""What is called once a step, a checkpoint or an evaluation."""


def run(
    folder: Path, dataset: Path, encoder: SimpleNamespace, signal_number: int = 0, point: str = "step", call: int = 0
) -> int:
    """Train on `dataset`, checkpoints in `folder`, and return the exit code.

    With a `signal_number` the process sends it to itself at the `call`-th call of `point`. A checkpoint is written
    after every step, unless the signal is one that can be caught. The metrics of the epochs that the process ended go
    to metrics.json in `folder`, and the model to `folder`/model.
    """
    every_step = signal_number in (0, signal.SIGKILL)
    arguments = (folder, dataset, encoder.encoder, encoder.preprocessor, signal_number, point, call, every_step)
    process = CONTEXT.Process(target=_train, args=arguments)
    process.start()
    process.join(300)
    assert process.exitcode is not None
    return process.exitcode


def _train(
    folder: Path,
    dataset: Path,
    encoder: str,
    preprocessor: str,
    signal_number: int,
    point: str,
    call: int,
    every_step: bool,
) -> None:
    with (folder / "log").open("a") as log:
        os.dup2(log.fileno(), 1)
    tf.config.experimental.enable_op_determinism()
    if signal_number:
        owner, attribute = POINTS[point]
        mock.patch.object(owner, attribute, _signalling(getattr(owner, attribute), signal_number, call)).start()
    logged: dict[int, dict[str, float]] = {}

    def log_metrics(values: dict[str, float], step: int) -> None:
        if "val_loss" in values:
            logged[step] = values
            (folder / "metrics.json").write_text(json.dumps(logged))

    train_model(
        dataset,
        folder / "model",
        folder / "predictions.parquet",
        encoder=encoder,
        preprocessor=preprocessor,
        sequence_length=32,
        recipe=Recipe("berth", 3, 32, 1e-3, 0.1, 0.01, 0, Training(precision="float32")),
        threshold_metric="macro_f1",
        checkpoints=str(folder / "checkpoints"),
        checkpoint_minutes=1e-9 if every_step else 10,
        log_metrics=log_metrics,
    )


def _signalling(original: Callable[..., Any], signal_number: int, call: int) -> Callable[..., Any]:
    calls: list[None] = []

    def signalling(*arguments: Any, **options: Any) -> Any:
        calls.append(None)
        if len(calls) == call:
            os.kill(os.getpid(), signal_number)
        return original(*arguments, **options)

    return signalling
