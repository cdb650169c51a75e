"""The patch of kfp.local that lasts as long as a run."""

import contextlib
import copy
import logging
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from kfp import local
from kfp.local import docker_task_handler, status, subprocess_task_handler, task_handler_interface
from kfp.local.orchestrator import task_executor

from berth import progress
from berth.cluster_settings import TRAINING_STEPS
from pipeline import home
from pipeline.local.runner import Reporter, Step, StepRunner
from pipeline.local.step_log import error_in, is_final, obituary
from pipeline.replaced import replaced

if TYPE_CHECKING:
    from kfp.pipeline_spec.pipeline_spec_pb2 import PipelineTaskSpec

LONG_STEPS = TRAINING_STEPS
"""A cluster tries them again because a node may be taken away; here they would only take long to fail again."""
_LONGEST_WAIT = 2
"""Seconds before a step is tried again."""


@contextlib.contextmanager
def patched_kfp(
    runner: StepRunner, reporter: Reporter, steps: list[Step], log_dir: Path, environment: dict[str, str]
) -> Iterator[None]:
    """Let kfp.local run tasks with `runner` and report to `reporter`; its own prints go to kfp.log."""
    execute = task_executor.execute_single_task
    executed: set[str] = set()
    running: list[str] = []

    def wait(seconds: float) -> None:
        """Wait before another try: less than for a cluster's node, and not at all for what the user has to fix."""
        if not is_final(log_dir / f"{running[-1]}.log"):
            time.sleep(min(seconds, _LONGEST_WAIT))

    def execute_and_tell(task_name: str, **arguments: Any) -> tuple[dict[str, Any], status.Status]:
        step = task_name.replace("-", "_")  # as the component's function is named
        if step in LONG_STEPS:
            arguments["task_spec"] = _without_retries(arguments["task_spec"])
        reporter.started(step)
        running.append(step)
        start = time.monotonic()
        outputs, outcome = execute(task_name=task_name, **arguments)
        failed = outcome != status.Status.SUCCESS
        state = "failed" if failed else "done" if step in executed else "cached"
        summary = error_in(log_dir / f"{step}.log") if failed else _summary(outputs)
        steps.append(Step(step, state, time.monotonic() - start, summary, outputs))
        reporter.ended(steps[-1])
        return outputs, outcome

    class RunnerTaskHandler(task_handler_interface.ITaskHandler):
        """Runs a task with the StepRunner."""

        def __init__(
            self, image: str, full_command: list[str], pipeline_root: str, runner: object, env_vars: dict[str, str]
        ) -> None:
            self.image, self.command, self.variables = image, full_command, env_vars

        def run(self) -> status.Status:
            step = self.command[self.command.index("--function_to_execute") + 1]
            executed.add(step)
            log = log_dir / f"{step}.log"
            if is_final(log):
                return status.Status.FAILURE  # a retry
            variables = {**self.variables, **environment, "PYTHONUNBUFFERED": "1", "TMPDIR": str(log_dir / "tmp")}
            code = runner.execute(self.image, self.command, variables, log, lambda line: _tell(reporter, step, line))
            if code != 0:
                with log.open("a", encoding="utf-8") as stream:
                    stream.write(obituary(code))
            return status.Status.SUCCESS if code == 0 else status.Status.FAILURE

    local.init(
        runner=runner.kfp_runner,
        pipeline_root=str(home.berth_home() / "pipeline"),
        workspace_root=str(log_dir / "tmp" / "workspace"),
        raise_on_error=False,
        enable_caching=True,
        # The cache knows parameters and inputs, not code: a cache per state of the code.
        cache_root=str(home.berth_home() / "cache" / runner.code),
    )
    root = logging.getLogger()
    handler = logging.FileHandler(log_dir / "kfp.log", encoding="utf-8")
    with (
        replaced(task_executor, "execute_single_task", execute_and_tell),
        replaced(task_executor, "time", SimpleNamespace(sleep=wait)),
        replaced(subprocess_task_handler, "SubprocessTaskHandler", RunnerTaskHandler),
        replaced(docker_task_handler, "DockerTaskHandler", RunnerTaskHandler),
        (log_dir / "kfp.log").open("a", encoding="utf-8") as kfp_log,
        contextlib.redirect_stdout(kfp_log),
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("ignore")  # kfp.local warns that each resource setting has no effect here
        root.addHandler(handler)
        try:
            yield
        finally:
            root.removeHandler(handler)
            handler.close()


def _tell(reporter: Reporter, step: str, line: str) -> None:
    if made := progress.parse(line):
        reporter.progressed(step, made)
    reporter.logged(step, line)


def _without_retries(task_spec: "PipelineTaskSpec") -> "PipelineTaskSpec":
    changed = copy.deepcopy(task_spec)
    changed.ClearField("retry_policy")
    return changed


def _summary(outputs: dict[str, object]) -> str:
    """Return the summary in the metadata of the step's main output artifact."""
    summaries = (getattr(value, "metadata", {}).get("summary") for value in outputs.values())
    return next((summary for summary in summaries if summary), "")
