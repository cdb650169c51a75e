"""Mistakes of a user end in one line that says what to change, exit code 1, and nothing pushed."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import mlflow
import pytest

from berth.tracking import run_tree, tags
from tests.support.calling import MESSAGES, berth

pytestmark = pytest.mark.timeout(600)  # whole runs


def pushed(folder: Path) -> list[str]:
    """Return what a run left for users: registered models and serving versions."""
    client = mlflow.MlflowClient(f"sqlite:///{folder / '.berth/mlflow.db'}")
    registered = [f"{found.name}/{found.version}" for found in client.search_model_versions()]
    return registered + [str(path) for path in (folder / ".berth/serving").glob("**/saved_model.pb")]


def newest_run(folder: Path, name: str = "sms-spam") -> mlflow.entities.Run:
    client = mlflow.MlflowClient(f"sqlite:///{folder / '.berth/mlflow.db'}")
    runs = client.search_runs([client.get_experiment_by_name(name).experiment_id])
    return next(run for run in runs if "mlflow.parentRunId" not in run.data.tags)


def test_data_that_cannot_be_used(workspace):
    """One class only. Other faults, in locate and in ingest: tests/components/ingest/test_bad_input.py."""
    folder = workspace(messages=[line for line in MESSAGES[:200] if line.startswith("ham")])
    done = berth(folder, "run", "config.yaml")
    assert done.returncode == 1
    (line,) = [line for line in done.stderr.splitlines() if line]
    assert line.startswith("error: ingest failed: ")
    assert "ham" in line
    assert "Traceback" not in done.stdout + done.stderr
    assert pushed(folder) == []
    assert newest_run(folder).info.status == "FAILED"


def test_a_serving_folder_that_cannot_be_written(workspace):
    folder = workspace(push_to="/proc/berth")
    done = berth(folder, "run", "config.yaml")
    assert done.returncode == 1
    assert done.stderr.startswith("error: push_to: /proc/berth cannot be written (")
    assert done.stderr.count("\n") == 1
    assert done.stdout == "", "it is said before an hour of training, not after"
    assert not (folder / ".berth").exists()


def test_a_killed_train_step_leaves_no_model_and_no_open_run(workspace):
    folder = workspace(epochs=200)
    process = subprocess.Popen(
        [str(Path(sys.executable).with_name("berth")), "run", "config.yaml"],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    log, deadline = None, time.monotonic() + 200
    while log is None or "progress " not in log.read_text():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.2)
        log = next(folder.glob(".berth/logs/*/train.log"), None)
    kill_the_python_of("train", folder)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 1
    assert errors.startswith("error: train failed: killed (SIGKILL).")
    assert errors.count("\n") == 1
    assert pushed(folder) == []
    assert not list(folder.glob(".berth/pipeline/**/saved_model.pb"))
    run = newest_run(folder)
    assert run.info.status == "FAILED"
    assert run.data.tags[tags.ERROR].startswith("train: ")
    client = mlflow.MlflowClient(f"sqlite:///{folder / '.berth/mlflow.db'}")
    children = run_tree.children(client, run.info.run_id)
    status = {child.info.run_name: child.info.status for child in children}
    assert status.pop("train") == "FAILED"
    assert status == dict.fromkeys(["locate", "ingest", "compare", "validate"], "FINISHED")


def kill_the_python_of(step: str, folder: Path) -> None:
    """Kill -9 the process that executes `step` of a run in `folder`."""
    for process in Path("/proc").glob("[0-9]*"):
        try:
            command = (process / "cmdline").read_bytes().split(b"\0")
            inside = (process / "cwd").resolve() == folder.resolve()
        except OSError:
            continue
        ordinary = b"kfp.dsl.executor_main" in command and step.encode() in command
        warm = b"berth.warm_process" in command and f"components.{step}.step".encode() in command
        if inside and (ordinary or warm):
            os.kill(int(process.name), signal.SIGKILL)
