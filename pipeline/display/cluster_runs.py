"""Runs on a cluster: their table, and a line for each step of the one that is followed."""

import itertools
from typing import Any

import kfp_server_api
from rich.console import Console
from rich.table import Table

from berth.errors import BerthError
from pipeline.cluster import follow
from pipeline.cluster.api import Api
from pipeline.display import tables

_MARKS = {"SUCCEEDED": "[green]✓[/]", "FAILED": "[red]✗[/]", "CANCELED": "[red]✗[/]", "SKIPPED": "[dim]-[/]"}


class StepLines:
    """Prints a line for each change of a step's state."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def __call__(self, step: str, task: kfp_server_api.V2beta1PipelineTaskDetail) -> None:
        seconds = follow.seconds(task)
        took = "" if seconds is None else f"{seconds:.1f} s"
        mark = _MARKS.get(task.state, "[cyan]…[/]")
        self._console.print(f"{mark} {step:<9} {took:>9} {task.state.lower()}", highlight=False, soft_wrap=True)


def runs_table(api: Api, name: str | None, limit: int) -> Table:
    """Return the cluster's newest runs as a table; with `name`, only those of the experiment of that name.

    Raises:
        BerthError: there is no such experiment.
    """
    scope: dict[str, Any] = {"namespace": api.namespace}
    if name:
        listed = api.experiments.experiment_service_list_experiments
        found = api.all(listed, "experiments", name=name, namespace=api.namespace)
        if not found:
            raise BerthError(f"no experiment of the name {name!r} on {api.host}. Without a name, all runs are listed.")
        scope = {"experiment_id": found[0].experiment_id}
    table = tables.new(*map(tables.whole, ("run", "started", "took", "state")))
    newest = api.each(api.runs.run_service_list_runs, "runs", sort_by="created_at desc", **scope)
    for run in itertools.islice(newest, limit):
        started = f"{run.created_at.astimezone():%Y-%m-%d %H:%M}" if run.created_at else ""
        # KFP reports 1970 as the end of a run that is not over.
        took = (run.finished_at - run.created_at).total_seconds() if run.finished_at and run.created_at else -1
        tables.add(table, run.display_name, started, f"{took:.0f} s" if took >= 0 else "", follow.state_of(run))
    return table
