"""A push in a process of its own, which can be held at a point to be killed there."""

import multiprocessing
import os
import time
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from unittest import mock

# The server that forks the processes imports these once.
import mlflow.pyfunc
import pandas  # noqa: F401

from berth.models import package
from berth.models.package import ModelInterface
from berth.registry import local_folder, object_folder, versions
from berth.tracking.step_run import step_run
from berth.tracking.tags import CHAMPION
from components.push import step
from tests.support.forks import CONTEXT

KILL_POINTS: dict[str, tuple[Any, str]] = {
    "before it logs": (package, "log_model"),
    "before it registers": (versions, "register"),
    "before it copies": (local_folder.LocalFolder, "publish"),
    "while it copies": (local_folder, "sync"),
    "before it is published": (versions, "mark_published"),
    "before aliases move": (versions, "converge"),
    "between the aliases": (mlflow.MlflowClient, "set_registered_model_alias"),
    "before retention": (step, "retain"),
    "while an old version goes": (local_folder.shutil, "rmtree"),
    "while it uploads": (object_folder.ObjectFolder, "_put"),
}


def start(
    name: str, push_to: str | Path, model: Path, kill_point: str = "", reached: str | Path = "", keep: int = 5
) -> multiprocessing.Process:
    """Start a push that waits for ever at `kill_point` once it has made the file `reached`."""
    chosen = {key: value for key, value in os.environ.items() if key.startswith(("MLFLOW", "BERTH", "AWS", "KFP"))}
    process = CONTEXT.Process(target=_push, args=(chosen, name, str(push_to), model, kill_point, str(reached), keep))
    process.start()
    return process


def killed(*arguments: Any, reached: Path, **options: Any) -> None:
    """Start a push as `start` does, and kill it with SIGKILL at its point."""
    process = start(*arguments, reached=reached, **options)
    deadline = time.monotonic() + 120
    while not reached.exists():
        assert process.exitcode is None, "the push ended before it came to its kill point"
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.kill()
    process.join(30)
    assert process.exitcode == -9


def _push(
    environment: Mapping[str, str], name: str, push_to: str, model: Path, kill_point: str, reached: str, keep: int
) -> None:
    os.environ.update(environment)
    if kill_point:
        owner, attribute = KILL_POINTS[kill_point]
        mock.patch.object(owner, attribute, _held(kill_point, getattr(owner, attribute), Path(reached))).start()
    with step_run("push"):
        tags = {"berth.run_id": uuid.uuid4().hex, "berth.verdict": "BLESSED"}
        step.push_model(model, name, push_to, ModelInterface(["ham", "spam"], ["mlflow"]), tags, keep=keep)


def _held(kill_point: str, original: Callable[..., Any], reached: Path) -> Callable[..., Any]:
    calls: list[Any] = []

    def hold(*arguments: Any, **options: Any) -> Any:
        calls.append(arguments)
        passed = {
            "between the aliases": CHAMPION not in arguments,
            "while it uploads": len(calls) < 3,
            "while an old version goes": ".outgoing-" not in str(arguments[0]) if arguments else True,
        }
        if passed.get(kill_point, False):
            return original(*arguments, **options)
        reached.touch()
        while True:
            time.sleep(1)

    return hold
