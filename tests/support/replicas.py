"""A training in a process of its own, on as many CPU devices as it is told; or a worker of one."""

import json
import os
import socket
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

ROOT = Path(__file__).parents[2]


def start(
    folder: Path,
    dataset: Path,
    encoder: Any,
    devices: int = 1,
    workers: Sequence[str] = (),
    index: int = 0,
    checkpoints: str = "",
    **training: Any,
) -> subprocess.Popen:
    """Start a training of 2 epochs whose curve goes to curve.json in `folder`, with the model; return its process."""
    folder.mkdir(exist_ok=True)
    environment = dict(os.environ)
    if workers:
        task = {"type": "worker", "index": index}
        environment["TF_CONFIG"] = json.dumps({"cluster": {"worker": list(workers)}, "task": task})
    settings = {"folder": str(folder), "dataset": str(dataset), "devices": devices, "index": index, **vars(encoder)}
    settings |= {"checkpoints": checkpoints, "training": training}
    return subprocess.Popen(
        [sys.executable, "-m", "tests.support.replicas", json.dumps(settings)],
        cwd=ROOT,
        env=environment,
        stdout=(folder / "log").open("a"),
        stderr=subprocess.STDOUT,
    )


def addresses(count: int) -> list[str]:
    """Return free addresses of loopback."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    free = [f"127.0.0.1:{own.getsockname()[1]}" for own in sockets]
    for own in sockets:
        own.close()
    return free


def _train(settings: SimpleNamespace) -> None:
    import tensorflow as tf

    from berth.training.recipe import Recipe
    from berth.training.settings import Training
    from components.train import classifier
    from components.train.__main__ import main
    from components.train.step import train_model

    (cpu,) = tf.config.list_physical_devices("CPU")
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * settings.devices)
    classifier.DROPOUT = 0.0  # replicas draw masks of their own
    recipe = Recipe("berth", 2, 31, 1e-3, 0.1, 0.01, 0, Training(precision="float32", **settings.training))
    others = {"encoder": settings.encoder, "preprocessor": settings.preprocessor, "sequence_length": 32}
    others |= {"pooling": "auto", "threshold_metric": "macro_f1", "require_gpu": False}
    if settings.index:
        main(settings.dataset, {**others, **vars(recipe), "training": dict(recipe.training)})
        return
    folder = Path(settings.folder)
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


if __name__ == "__main__":
    _train(SimpleNamespace(**json.loads(sys.argv[1])))
