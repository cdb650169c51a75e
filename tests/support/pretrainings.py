"""Pre-trainings in processes of their own: interrupted and resumed, on several CPU devices, or as workers."""

import json
import multiprocessing
import os
from collections.abc import Callable, Sequence
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

# The server that forks the processes imports these once; TensorFlow starts in each of them.
import tensorflow as tf
import tensorflow_text  # noqa: F401

from berth.training.train_step import TrainStep
from components.pretrain.__main__ import main
from tests.support.pretraining import SETTINGS, no_vocabulary, pretrain

CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload([__name__])

SHORT = {"steps": 6, "batch_size": 16, "head_steps": 3, "evaluations": 2, "nsp": True}
"""Settings: 3 steps for the heads, then 6 for all weights, and an evaluation in the middle."""


_LOSSES = ("steps/train_loss", "val_mlm_loss")


class Interrupted(BaseException):
    """Ends a training as a kill does: nothing catches it."""


def start(target: Callable[..., None], folder: Path, *arguments: object) -> ForkServerProcess:
    """Call `target` with `folder`, which is made, and `arguments` in a process, and return that."""
    folder.mkdir()
    process = CONTEXT.Process(target=_logged, args=(target, folder, *arguments), daemon=True)
    process.start()
    return process


def end(process: ForkServerProcess, folder: Path) -> str:
    """Return what the process that was started with `folder` has printed."""
    process.join(300)
    printed = (folder / "log").read_text(encoding="utf-8")
    assert process.exitcode == 0, printed[-3000:]
    return printed


def run(target: Callable[..., None], folder: Path, *arguments: object) -> str:
    """Call `target` with `folder` and `arguments` in a process and return what it printed."""
    return end(start(target, folder, *arguments), folder)


def interrupted_and_not(folder: Path, corpus: Path, tiny: SimpleNamespace, interruptions: list[int]) -> None:
    """Pre-train twice: to `folder`/whole at once, and to `folder`/parts, interrupted at these steps of each start."""
    tf.config.experimental.enable_op_determinism()
    options: dict[str, Any] = {"settings": SHORT, "checkpoint_minutes": 1e-9}
    pretrain(folder / "whole", corpus, tiny, **options)
    for steps in [*interruptions, 0]:
        print(f"start of one that is interrupted after {steps} steps", flush=True)
        calls: list[None] = []
        original = TrainStep._step

        def stepping(*given: Any, calls: list[None] = calls, steps: int = steps, original: Any = original) -> Any:
            calls.append(None)
            if len(calls) == steps:
                raise Interrupted
            return original(*given)

        try:
            with mock.patch.object(TrainStep, "_step", stepping):
                pretrain(folder / "parts", corpus, tiny, checkpoints=str(folder / "checkpoints"), **options)
        except Interrupted:
            assert not (folder / "parts" / "encoder").exists()


def on_devices(folder: Path, corpus: Path, tiny: SimpleNamespace, devices: int) -> None:
    """Pre-train on so many CPU devices; the losses are printed, `loss STEP VALUE` each."""
    (cpu,) = tf.config.list_physical_devices("CPU")
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * devices)
    pretrain(folder / "made", corpus, tiny, settings=SHORT, log_metrics=print_losses)


def as_worker(folder: Path, corpus: Path, tiny: SimpleNamespace, workers: Sequence[str], index: int) -> None:
    """Pre-train as one of `workers`, which have these addresses; the first of them is the chief, and prints losses."""
    task = {"type": "worker", "index": index}
    os.environ["TF_CONFIG"] = json.dumps({"cluster": {"worker": list(workers)}, "task": task})
    if not index:
        pretrain(folder / "made", corpus, tiny, settings=SHORT, log_metrics=print_losses)
        return
    parameters = {"encoder": tiny.encoder, "new_encoder": {}, "preprocessor": tiny.preprocessor, "require_gpu": False}
    vocabulary = no_vocabulary(folder.parent / f"{folder.name}-vocabulary")
    main(str(corpus), str(vocabulary), {**parameters, "pretraining": SETTINGS | SHORT})


def losses(values: dict[str, float], number: int) -> dict[str, float]:
    """Return the losses among what a trainer logs, by name and number."""
    return {f"{name} {number}": own for name, own in values.items() if name.endswith(_LOSSES)}


def print_losses(values: dict[str, float], number: int) -> None:
    for name, value in losses(values, number).items():
        print(f"loss {name} {value!r}", flush=True)


def _logged(target: Callable[..., None], folder: Path, *arguments: object) -> None:
    with (folder / "log").open("a") as log:
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
    plain = [SimpleNamespace(**own) if isinstance(own, dict) else own for own in arguments]
    target(folder, *plain)
