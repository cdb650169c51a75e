"""A run on a cluster while it goes on: the changes of its steps' states, then the verdict."""

import datetime
import time
from collections.abc import Callable

from kfp_server_api import V2beta1PipelineTaskDetail, V2beta1Run

from berth.errors import BerthError
from pipeline.cluster.api import Api
from pipeline.cluster.api_errors import Unreachable

POLL = 5.0
"""Seconds between two looks at a run."""
OUTAGE = 120
"""Looks in a row that may find no API before `follow` gives up: ten minutes, for a cluster that is upgraded."""
ENDED = ("SUCCEEDED", "FAILED", "CANCELED", "SKIPPED")


def follow(api: Api, run_id: str, steps: list[str], show: Callable[[str, V2beta1PipelineTaskDetail], None]) -> str:
    """Call `show` with a step's name and task for each change of state until the run has ended; return the verdict.

    The verdict is BLESSED when push ran, NOT BLESSED when refuse ran, and UNCHANGED when neither did.

    Raises:
        BerthError: the run failed or was cancelled, or the API has not answered for ten minutes.
    """
    shown: dict[str, str] = {}
    silent = 0
    while True:
        try:
            run = api.call(api.runs.run_service_get_run, run_id)
            silent = 0
        except Unreachable:
            silent += 1
            if silent == OUTAGE:
                raise
            time.sleep(POLL)
            continue
        tasks = _tasks(run, steps)
        for name, task in tasks.items():
            if task.state and shown.get(name) != task.state:
                shown[name] = task.state
                show(name, task)
        if run.state in ENDED:
            break
        time.sleep(POLL)
    if run.state != "SUCCEEDED":
        raise BerthError(_ending(run, tasks))
    pushed, refused = (name in tasks and tasks[name].state == "SUCCEEDED" for name in ("push", "refuse"))
    return "BLESSED" if pushed else "NOT BLESSED" if refused else "UNCHANGED"


def seconds(task: V2beta1PipelineTaskDetail) -> float | None:
    """Return how long a task took; None while it runs, or where KFP has no times for it."""
    if task.state in ENDED and task.start_time and task.end_time and task.end_time >= task.start_time:
        return float((task.end_time - task.start_time).total_seconds())
    return None


def message(part: V2beta1PipelineTaskDetail | V2beta1Run) -> str:
    """Return the error message of a task or a run as one short sentence; empty where KFP has none."""
    text = " ".join((part.error.message if part.error and part.error.message else "").split())
    return f"{text[:200]}..." if len(text) > 200 else f"{text.rstrip('.')}." if text else ""


def _tasks(run: V2beta1Run, steps: list[str]) -> dict[str, V2beta1PipelineTaskDetail]:
    """Return the newest task of each step that has begun, in the order in which they began."""
    details = (run.run_details.task_details if run.run_details else None) or []
    never = datetime.datetime.max.replace(tzinfo=datetime.UTC)
    begun = sorted((task for task in details if task.display_name in steps), key=lambda task: task.start_time or never)
    return {task.display_name: task for task in begun}


def _ending(run: V2beta1Run, tasks: dict[str, V2beta1PipelineTaskDetail]) -> str:
    """Return why a run did not succeed: the step that failed, or what was done to the run."""
    failed = next((name for name, task in tasks.items() if task.state == "FAILED"), "")
    if run.state == "FAILED":
        reason = message(tasks[failed]) if failed else message(run)
        return f"{failed or 'the run'} failed. {reason} 'berth retry {run.display_name}' tries again."
    return f"{run.display_name}: {run.state.lower()}."
