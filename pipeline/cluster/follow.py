"""A run on a cluster as it goes on: each step's states, then the verdict."""

import datetime
import time
from typing import Any

import kfp_server_api
from rich.console import Console
from rich.markup import escape

from berth.errors import BerthError, printable
from pipeline.cluster.api import Api
from pipeline.cluster.api_errors import Unreachable

POLL = 5.0
"""Seconds between two looks at a run."""
OUTAGE = 120
"""Looks in a row that may find no API before `follow` gives up: ten minutes of a cluster that is upgraded."""
ENDED = ("SUCCEEDED", "FAILED", "CANCELED", "SKIPPED")
_MARKS = {"SUCCEEDED": "[green]✓[/]", "FAILED": "[red]✗[/]", "CANCELED": "[red]✗[/]", "SKIPPED": "[dim]-[/]"}


def follow(api: Api, run_id: str, steps: list[str], console: Console) -> str:
    """Print each step's state as it changes until the run has ended, and return the verdict.

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
                console.print(_line(name, task), highlight=False, soft_wrap=True)
        if run.state in ENDED:
            break
        time.sleep(POLL)
    if run.state != "SUCCEEDED":
        raise BerthError(_ending(run, tasks))
    pushed, refused = (name in tasks and tasks[name].state == "SUCCEEDED" for name in ("push", "refuse"))
    return "BLESSED" if pushed else "NOT BLESSED" if refused else "UNCHANGED"


def _tasks(run: kfp_server_api.V2beta1Run, steps: list[str]) -> dict[str, Any]:
    """Return the newest task of each step that has begun, in the order of their beginnings."""
    details = (run.run_details.task_details if run.run_details else None) or []
    never = datetime.datetime.max.replace(tzinfo=datetime.UTC)
    begun = sorted((task for task in details if task.display_name in steps), key=lambda task: task.start_time or never)
    return {task.display_name: task for task in begun}


def _line(name: str, task: Any) -> str:
    took = ""
    if task.state in ENDED and task.start_time and task.end_time and task.end_time >= task.start_time:
        took = f"{(task.end_time - task.start_time).total_seconds():.1f} s"
    why = f" {escape(printable(_message(task)))}" if task.state == "FAILED" else ""
    return f"{_MARKS.get(task.state, '[cyan]…[/]')} {name:<9} {took:>9} {task.state.lower()}{why}"


def _ending(run: kfp_server_api.V2beta1Run, tasks: dict[str, Any]) -> str:
    """Return why a run did not succeed: the step that failed, or what was done to the run."""
    failed = next((name for name, task in tasks.items() if task.state == "FAILED"), "")
    if run.state == "FAILED":
        reason = _message(tasks[failed]) if failed else _message(run)
        return f"{failed or 'the run'} failed. {reason} 'berth retry {run.display_name}' tries again."
    return f"{run.display_name}: {run.state.lower()}."


def _message(part: Any) -> str:
    text = " ".join((part.error.message if part.error and part.error.message else "").split())
    return f"{text[:200]}..." if len(text) > 200 else f"{text.rstrip('.')}." if text else ""
