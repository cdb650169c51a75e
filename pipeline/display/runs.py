"""Pipeline runs in MLflow: the table of the newest, and two of them side by side."""

import datetime
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from berth.errors import BerthError, nearest
from berth.tracking import pipeline_run, tags
from pipeline import mlflow_store
from pipeline.display import scores, tables

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run


_PARENT = "mlflow.parentRunId"
_CANDIDATES = 500
"""How many of the newest runs are searched for a name that resembles an unknown one."""


def runs_table(experiment: str | None, limit: int) -> Table:
    """Return the newest pipeline runs as a table: when, how they ended, and what their models scored."""
    mlflow_store.use_tracking_uri()
    import mlflow

    if experiment is not None and not pipeline_run.experiment_id(mlflow.MlflowClient(), experiment):
        known = [found.name for found in mlflow.search_experiments()]
        raise BerthError(f"no run of the name {experiment!r}.{nearest(experiment, known)}")
    found = _search(f"tags.`{tags.KFP_RUN_ID}` != ''", limit, experiment)
    if not found:
        for name in _deleted():
            pipeline_run.experiment_id(mlflow.MlflowClient(), name)  # says how it is restored
    columns = scores.headers(run.data.metrics for run in found)
    table = tables.new(
        *map(tables.whole, ("run", "started", "took")),  # whole: `berth compare` takes the name
        tables.words("result"),
        *(tables.number(header, fold=True) for header in columns.values()),
    )
    for run in found:
        started = datetime.datetime.fromtimestamp(run.info.start_time / 1000)
        took = f"{(run.info.end_time - run.info.start_time) / 1000:.0f} s" if run.info.end_time else ""
        own = scores.cells(run.data.metrics, columns)
        tables.add(table, run.info.run_name or "", f"{started:%Y-%m-%d %H:%M}", took, outcome(run), *own)
    return table


def verdict(run_id: str) -> str:
    """Return the verdict of a pipeline run; empty if it has none."""
    mlflow_store.use_tracking_uri()
    import mlflow

    return str(mlflow.MlflowClient().get_run(run_id).data.tags.get(tags.VERDICT, ""))


def comparison(first: str, second: str) -> RenderableType:
    """Return two pipeline runs side by side: their metrics with the differences, and the parameters that differ.

    `first` and `second` are names of runs, or their ids.

    Raises:
        BerthError: there is no such run.
    """
    mlflow_store.use_tracking_uri()
    import mlflow

    client = mlflow.MlflowClient()
    one, other = find_run(client, first), find_run(client, second)
    titles = [_title(one), _title(other)]
    metrics = tables.new(
        tables.words("metric"), *(tables.number(title, fold=True) for title in (*titles, "difference"))
    )
    for key in sorted(one.data.metrics.keys() | other.data.metrics.keys()):
        values = [run.data.metrics.get(key) for run in (one, other)]
        both = values[0] is not None and values[1] is not None
        difference = f"{values[1] - values[0]:+.4f}" if both else ""  # type: ignore[operator]
        cells = [key, *("" if value is None else f"{value:.4f}" for value in values), difference]
        tables.add(metrics, *cells)
    parameters = tables.new(*map(tables.words, ("parameter", *titles)))
    for key in sorted(one.data.params.keys() | other.data.params.keys()):
        texts = [run.data.params.get(key, "") for run in (one, other)]
        if texts[0] != texts[1]:
            tables.add(parameters, key, *texts)
    verdicts = tables.new(*map(tables.words, ("verdict", *titles)))
    tables.add(verdicts, "", outcome(one), outcome(other))
    parts: list[RenderableType] = [verdicts, ""]
    parts += [metrics] if metrics.row_count else [Text("Neither run has metrics.")]
    parts += ["", parameters] if parameters.row_count else ["", Text("No parameter differs.")]
    return Group(*parts)


def find_run(client: "MlflowClient", name: str) -> "Run":
    """Return the newest pipeline run of this name, or the one of this id, which may be the id of one of its steps."""
    from mlflow.exceptions import MlflowException

    if re.fullmatch(r"[0-9a-f]{32}", name):
        try:
            run = client.get_run(name)
            return client.get_run(run.data.tags[_PARENT]) if _PARENT in run.data.tags else run
        except MlflowException:
            pass
    quote = '"' if "'" in name else "'"
    if '"' not in name:
        for run in _search(f"attributes.run_name = {quote}{name}{quote}"):
            if _PARENT not in run.data.tags:
                return run
    known = [str(run.info.run_name) for run in _search(f"tags.`{tags.KFP_RUN_ID}` != ''", _CANDIDATES)]
    deleted = ", ".join(_deleted())
    lost = f" These experiments were deleted in MLflow: {deleted}." if deleted else ""
    raise BerthError(f"no run has the name or id {name!r}.{nearest(name, known)} 'berth runs' lists them.{lost}")


def _search(condition: str, limit: int = 100_000, experiment: str | None = None) -> "list[Run]":
    """Return the newest runs that meet `condition`, in `experiment` or in all."""
    import mlflow

    found = mlflow.search_runs(
        experiment_names=[experiment] if experiment else None,
        search_all_experiments=not experiment,
        filter_string=condition,
        max_results=limit,
        order_by=["attributes.start_time DESC"],
        output_format="list",
    )
    return list(found)


def _deleted() -> list[str]:
    """Return the names of the experiments that were deleted in MLflow."""
    import mlflow
    from mlflow.entities import ViewType

    return [found.name for found in mlflow.search_experiments(view_type=ViewType.DELETED_ONLY)]


def _title(run: "Run") -> str:
    return str(run.info.run_name or run.info.run_id)


def outcome(run: "Run") -> str:
    """Return the verdict of a run that finished, the step that failed, or the run's status."""
    run_tags: Mapping[str, str] = run.data.tags
    if run.info.status == "FINISHED":
        return str(run_tags.get(tags.VERDICT, run.info.status)).split(":")[0]
    failed = run_tags.get(tags.ERROR, "").partition(":")[0]
    return f"{run.info.status}: {failed}" if failed else str(run.info.status)
