"""Backend 1: the DAG on one machine. kfp.local executes it; each step runs in the environment of its image, or in it.

Two things are added to kfp.local while a run lasts: its task handlers, which know one interpreter only, or take a
container that ended quickly for a success, are replaced by one that runs the task's command in a Place; and the
function that executes a task is wrapped, to tell what ran. Scheduling, conditions, retries, the cache and the exit
handler are kfp's own.
"""

import contextlib
import copy
import datetime
import errno
import logging
import os
import shutil
import signal
import subprocess
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Protocol
from unittest import mock

from kfp import local
from kfp.local import docker_task_handler, status, subprocess_task_handler, task_handler_interface
from kfp.local.orchestrator import task_executor

from components.common import pipeline_run, progress, tracking
from components.common.errors import BerthError
from pipeline import home
from pipeline.config import RunConfig
from pipeline.last_words import error_in, is_final, obituary

EXIT_STEP = "finish"
LONG_STEP = "train"
"""A cluster tries it again for the sake of nodes that are taken away; here it would take its time to fail again."""
_LONGEST_WAIT = 2
"""Seconds before a step is tried again."""
_LEAVING = 25
"""Seconds that an interrupted step has to leave a checkpoint."""


@dataclass(frozen=True)
class Step:
    """What came of one step: its state is `done`, `cached` or `failed`."""

    name: str
    state: str
    seconds: float
    summary: str
    outputs: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Result:
    """A run that ended without an error; `blessed` says whether its model held its gates and was pushed."""

    run_id: str
    steps: list[Step]
    blessed: bool
    log_dir: Path


class Reporter(Protocol):
    """Who is told how a run goes."""

    def started(self, step: str) -> None: ...
    def progressed(self, step: str, progress: progress.Progress) -> None: ...
    def logged(self, step: str, line: str) -> None: ...
    def ended(self, step: Step) -> None: ...


@dataclass(frozen=True)
class Place:
    """Where steps run."""

    runner: local.SubprocessRunner | local.DockerRunner
    code: str
    """A digest of what the steps run there: their code and packages."""
    execute: Callable[[str, list[str], dict[str, str], Path, Callable[[str], None]], int]
    """Runs, for an image, a command with variables, its output line by line to a log and to a function; returns the
    exit code, negative for a signal."""


def run(config: RunConfig, config_file: Path, reporter: Reporter, in_containers: bool = False) -> Result:
    """Run the pipeline as `config` says, under .berth/ in the working directory.

    Raises:
        BerthError: a step failed; the message is the step's name and its last error line. Or there are no containers
            to be had.
    """
    from pipeline import dag

    if in_containers:
        from pipeline import containers

        place = containers.place(config)
    else:
        place = environments()
    parameters = config.parameters()
    parameters["push_to"] = _serving_folder(config.push_to)
    # The same text for every run, or train would never come out of the cache.
    parameters["checkpoints"] = config.checkpoints or str(home.writable_home() / "checkpoints")
    arguments = {"git_commit": home.git_commit(), "config_file": str(config_file), **parameters}
    return run_pipeline(dag.berth, arguments, config.name, reporter, place)


def run_pipeline(
    pipeline: Callable[..., Any], arguments: dict[str, Any], name: str, reporter: Reporter, place: Place | None = None
) -> Result:
    """Run `pipeline` with `arguments` as a run of the MLflow experiment `name`; raises as `run` does."""
    place = place or environments()
    started = datetime.datetime.now().strftime("%Y%m%d-%H%M%S")
    run_id = _open_run(name, f"{name}-{started}")
    log_dir = home.berth_home() / "logs" / f"{name}-{started}-{run_id[:6]}"
    steps: list[Step] = []
    try:
        (log_dir / "tmp").mkdir(parents=True)
        with _patched_kfp(place, reporter, steps, log_dir, {"MLFLOW_RUN_ID": run_id}), _interruptible():
            pipeline(**arguments)
    except BaseException as error:
        interrupted = isinstance(error, KeyboardInterrupt)
        tracking.close(run_id, "KILLED" if interrupted else "FAILED", "interrupted" if interrupted else str(error))
        if isinstance(error, OSError):
            raise BerthError(
                f"{home.berth_home()}: cannot be written ({error.strerror}). Make room or run elsewhere."
            ) from None
        raise
    finally:
        shutil.rmtree(log_dir / "tmp", ignore_errors=True)

    failed = next((step for step in steps if step.state == "failed"), None)
    if failed:
        if not any(step.name == EXIT_STEP and step.state == "done" for step in steps):
            tracking.close(run_id, "FAILED", failed.summary)
        raise BerthError(f"{failed.name} failed: {failed.summary} Log: {home.relative(log_dir / failed.name)}.log")
    blessed = any(step.name == "push" for step in steps)
    return Result(run_id, steps, blessed, log_dir)


def _serving_folder(push_to: str) -> str:
    """Return the folder that push will write to, made now: better an error here than after an hour of training."""
    if "://" in push_to:
        return push_to
    folder = Path(push_to) if push_to else home.writable_home() / "serving"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not os.access(folder, os.W_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    except OSError as error:
        raise BerthError(f"push_to: {folder} cannot be written ({error.strerror}). Name a folder that can.") from None
    return str(folder)


def _open_run(experiment: str, run_name: str) -> str:
    """Create the MLflow run of a pipeline run and return its id."""
    store = home.use_tracking_uri()
    from mlflow.exceptions import MlflowException

    try:
        return pipeline_run.create_parent(experiment, run_name, {})
    except MlflowException as error:
        reason = str(error).splitlines()[0]
        raise BerthError(
            f"MLflow at {home.redacted(store)} does not answer: {reason} Check MLFLOW_TRACKING_URI."
        ) from None


@contextlib.contextmanager
def _patched_kfp(
    place: Place, reporter: Reporter, steps: list[Step], log_dir: Path, environment: dict[str, str]
) -> Iterator[None]:
    """Let kfp.local run tasks in `place` and tell `reporter`; its own prints go to kfp.log."""
    execute = task_executor.execute_single_task
    executed: set[str] = set()
    running: list[str] = []

    def wait(seconds: float) -> None:
        """Wait before another try: less than for a cluster's node, and not at all for what the user has to mend."""
        if not is_final(log_dir / f"{running[-1]}.log"):
            time.sleep(min(seconds, _LONGEST_WAIT))

    def execute_and_tell(task_name: str, **arguments: Any) -> tuple[dict[str, Any], status.Status]:
        if task_name == LONG_STEP:
            arguments["task_spec"] = _without_retries(arguments["task_spec"])
        reporter.started(task_name)
        running.append(task_name)
        start = time.monotonic()
        outputs, outcome = execute(task_name=task_name, **arguments)
        failed = outcome != status.Status.SUCCESS
        state = "failed" if failed else "done" if task_name in executed else "cached"
        summary = error_in(log_dir / f"{task_name}.log") if failed else _summary(outputs)
        steps.append(Step(task_name, state, time.monotonic() - start, summary, outputs))
        reporter.ended(steps[-1])
        return outputs, outcome

    class PlaceTaskHandler(task_handler_interface.ITaskHandler):
        """Runs a task in the place."""

        def __init__(
            self, image: str, full_command: list[str], pipeline_root: str, runner: Any, env_vars: dict[str, str]
        ) -> None:
            self.image, self.command, self.variables = image, full_command, env_vars

        def run(self) -> status.Status:
            step = self.command[self.command.index("--function_to_execute") + 1]
            executed.add(step)
            log = log_dir / f"{step}.log"
            if is_final(log):
                return status.Status.FAILURE  # a retry
            variables = {**self.variables, **environment, "PYTHONUNBUFFERED": "1", "TMPDIR": str(log_dir / "tmp")}
            code = place.execute(self.image, self.command, variables, log, lambda line: _tell(reporter, step, line))
            if code != 0:
                with log.open("a", encoding="utf-8") as stream:
                    stream.write(obituary(code))
            return status.Status.SUCCESS if code == 0 else status.Status.FAILURE

    local.init(
        runner=place.runner,
        pipeline_root=str(home.berth_home() / "pipeline"),
        workspace_root=str(log_dir / "tmp" / "workspace"),
        raise_on_error=False,
        enable_caching=True,
        # The cache knows parameters and inputs, not code: a cache per state of the code.
        cache_root=str(home.berth_home() / "cache" / place.code),
    )
    root = logging.getLogger()
    handler = logging.FileHandler(log_dir / "kfp.log", encoding="utf-8")
    with (
        mock.patch.object(task_executor, "execute_single_task", execute_and_tell),
        mock.patch.object(task_executor, "time", SimpleNamespace(sleep=wait)),
        mock.patch.object(subprocess_task_handler, "SubprocessTaskHandler", PlaceTaskHandler),
        mock.patch.object(docker_task_handler, "DockerTaskHandler", PlaceTaskHandler),
        (log_dir / "kfp.log").open("a", encoding="utf-8") as kfp_log,
        contextlib.redirect_stdout(kfp_log),
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("ignore")  # kfp.local says of every resource setting that it has no effect here
        root.addHandler(handler)
        try:
            yield
        finally:
            root.removeHandler(handler)
            handler.close()


def environments() -> Place:
    """Return the place where each step runs as a process, in the environment that stands for its image."""
    return Place(local.SubprocessRunner(use_venv=False), home.code_digest(), _execute)


def _execute(image: str, command: list[str], variables: dict[str, str], log: Path, tell: Callable[[str], None]) -> int:
    """See Place. The command gets a process group of its own: stopping its shell alone would leave the step running.

    Its `python3` is that of the environment, its `components` this checkout's.
    """
    path = os.pathsep.join([str(home.environment_bin(image)), os.environ.get("PATH", os.defpath)])
    with (
        log.open("a", encoding="utf-8") as stream,
        subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            errors="replace",
            env={**os.environ, **variables, "PATH": path, "PYTHONPATH": str(home.CHECKOUT)},
            process_group=0,
        ) as process,
    ):
        assert process.stdout is not None
        try:
            for line in process.stdout:
                stream.write(line)
                stream.flush()
                tell(line.rstrip("\n"))
            return process.wait()
        except BaseException:
            for signal_number, patience in ((signal.SIGINT, _LEAVING), (signal.SIGKILL, 10)):
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal_number)
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(patience)
                    break
            raise


@contextlib.contextmanager
def _interruptible() -> Iterator[None]:
    """Let SIGTERM end the run the way that Ctrl-C does."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _tell(reporter: Reporter, step: str, line: str) -> None:
    if made := progress.parse(line):
        reporter.progressed(step, made)
    reporter.logged(step, line)


def _without_retries(task_spec: Any) -> Any:
    changed = copy.deepcopy(task_spec)
    changed.ClearField("retry_policy")
    return changed


def _summary(outputs: dict[str, Any]) -> str:
    """Return what the step's main output artifact says came out."""
    summaries = (getattr(value, "metadata", {}).get("summary") for value in outputs.values())
    return next((summary for summary in summaries if summary), "")
