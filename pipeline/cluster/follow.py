"""A run on a cluster while it goes on: the changes of its steps' states, then the verdict."""

import datetime
import time
from collections.abc import Callable, Mapping

from kfp_server_api import V2beta1PipelineTaskDetail, V2beta1Run

from berth.errors import BerthError
from pipeline.cluster import pods
from pipeline.cluster.api import Api
from pipeline.cluster.api_errors import Unreachable

POLL = 5.0
"""Seconds between two looks at a run."""
OUTAGE = 120
"""Looks in a row that may find no API before `follow` gives up: ten minutes, for a cluster that is upgraded."""
SETTLE = 24
"""Looks at a run that has ended, until its steps have: KFP stores the run's state before theirs."""
ENDED = ("SUCCEEDED", "FAILED", "CANCELED", "SKIPPED")
EXIT = "finish"
Tasks = Mapping[str, V2beta1PipelineTaskDetail]


def follow(api: Api, run_id: str, steps: list[str], show: Callable[[str, V2beta1PipelineTaskDetail], None]) -> str:
    """Call `show` with a step's name and task for each change of state until the run has ended; return the verdict.

    The verdict is BLESSED when push or push_encoder ran, NOT BLESSED when refuse or refuse_encoder ran, and UNCHANGED
    when train never started.

    Raises:
        BerthError: the run failed or was cancelled, the API has not answered for ten minutes, or the run's steps
            do not tell the verdict.
    """
    shown: dict[str, str] = {}
    looks = 0
    while True:
        run = _look(api, run_id)
        tasks = tasks_of(run, steps)
        for name, task in tasks.items():
            # finish fails together with a run, so that a retry of the run repeats it.
            expected = name == EXIT and task.state == "FAILED" and failed_step(tasks)
            if task.state and shown.get(name) != task.state and not expected:
                shown[name] = task.state
                show(name, task)
        looks += run.state in ENDED
        if looks and (looks == SETTLE or _have_ended(tasks)):
            break
        time.sleep(POLL)
    if run.state != "SUCCEEDED":
        raise BerthError(_ending(api, run, tasks))
    return _verdict(run, tasks)


def seconds(task: V2beta1PipelineTaskDetail) -> float | None:
    """Return how long a task took; None while it runs, or where KFP has no times for it."""
    if task.state in ENDED and task.start_time and task.end_time and task.end_time >= task.start_time:
        return float((task.end_time - task.start_time).total_seconds())
    return None


def state_of(run: V2beta1Run) -> str:
    """Return a run's state; of one that was cancelled KFP says FAILED, and CANCELING in its history."""
    unended = (entry.state for entry in reversed(run.state_history or []) if entry.state not in ENDED)
    if run.state == "FAILED" and next(unended, "") == "CANCELING":
        return "CANCELED"
    return run.state or "PENDING"


def tasks_of(run: V2beta1Run, steps: list[str]) -> Tasks:
    """Return the newest task of each step that has begun, in the order in which they began."""
    details = (run.run_details.task_details if run.run_details else None) or []
    never = datetime.datetime.max.replace(tzinfo=datetime.UTC)
    begun = sorted((task for task in details if task.display_name in steps), key=lambda task: task.start_time or never)
    return {task.display_name: task for task in begun}


def failed_step(tasks: Tasks) -> str:
    """Return the first step that failed, before finish; empty where there is none."""
    return next((name for name, task in tasks.items() if task.state == "FAILED" and name != EXIT), "")


def _look(api: Api, run_id: str) -> V2beta1Run:
    for silent in range(1, OUTAGE + 1):
        try:
            return api.call(api.runs.run_service_get_run, run_id)
        except Unreachable:
            if silent == OUTAGE:
                raise
            time.sleep(POLL)
    raise AssertionError


def _have_ended(tasks: Tasks) -> bool:
    return EXIT in tasks and all(task.state in ENDED for task in tasks.values())


def _verdict(run: V2beta1Run, tasks: Tasks) -> str:
    ran = {name for name, task in tasks.items() if task.state != "SKIPPED"}
    succeeded = {name for name, task in tasks.items() if task.state == "SUCCEEDED"}
    if succeeded & {"push", "push-encoder"}:
        return "BLESSED"
    if succeeded & {"refuse", "refuse-encoder"}:
        return "NOT BLESSED"
    if "compare" in succeeded and "train" not in ran:
        return "UNCHANGED"
    raise BerthError(
        f"{run.display_name}: has succeeded, but Kubeflow does not tell the states of its steps. "
        "MLflow has the verdict: the tag berth.verdict of the run."
    )


def _ending(api: Api, run: V2beta1Run, tasks: Tasks) -> str:
    """Return why a run did not succeed: the step that failed, or what was done to the run."""
    state = state_of(run)
    if state != "FAILED":
        return f"{run.display_name}: {state.lower()}."
    failed = failed_step(tasks)
    reason = pods.reason(api, run, failed) if failed else ""
    again = f"'berth retry {run.display_name}' tries again."
    return " ".join(filter(None, [f"{failed or 'the run'} failed.", reason, again]))
