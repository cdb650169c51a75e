"""The table of the runs on a cluster."""

import itertools
from typing import Any

from rich.markup import escape
from rich.table import Table

from berth.errors import BerthError, printable
from pipeline.cluster.api import Api


def runs_table(api: Api, name: str | None, limit: int) -> Table:
    """Return the cluster's newest runs as a table; with `name`, those of the experiment that is called so."""
    scope: dict[str, Any] = {"namespace": api.namespace}
    if name:
        listed = api.experiments.experiment_service_list_experiments
        found = api.all(listed, "experiments", name=name, namespace=api.namespace)
        if not found:
            raise BerthError(f"no experiment of the name {name!r} on {api.host}. Without a name, all runs are listed.")
        scope = {"experiment_id": found[0].experiment_id}
    table = Table(box=None, padding=(0, 1), pad_edge=False, header_style="dim")
    for column in ("run", "started", "took", "state"):
        table.add_column(column, no_wrap=True, overflow="fold")  # whole: `berth cancel` and `retry` are given the name
    newest = api.each(api.runs.run_service_list_runs, "runs", sort_by="created_at desc", **scope)
    for run in itertools.islice(newest, limit):
        started = f"{run.created_at.astimezone():%Y-%m-%d %H:%M}" if run.created_at else ""
        # KFP says of a run that goes on that it finished in 1970.
        took = (run.finished_at - run.created_at).total_seconds() if run.finished_at and run.created_at else -1
        cells = (run.display_name, started, f"{took:.0f} s" if took >= 0 else "", run.state or "PENDING")
        table.add_row(*(escape(printable(cell)) for cell in cells))
    return table
