"""One pipeline run in full: how it ended and why, its steps, its scores, and where to read more."""

import datetime
from collections.abc import Iterable
from typing import TYPE_CHECKING

from rich.console import Group, RenderableType

from berth.tracking import run_tree, tags
from pipeline.cluster import follow, pods
from pipeline.cluster.api import Api
from pipeline.display import tables
from pipeline.display.runs import find_run, outcome

if TYPE_CHECKING:
    from kfp_server_api import V2beta1Run
    from mlflow.entities import Run

_STEPS = ("step", "state", "took")
_SCORES = ("accuracy", "macro_f1", "micro_f1", "mcc", "roc_auc", "log_loss")


def of_mlflow(name: str) -> RenderableType:
    """Return the run of this name or id as MLflow has it.

    Raises:
        BerthError: there is no such run.
    """
    import mlflow

    client = mlflow.MlflowClient()
    run = find_run(client, name)
    known = run.data.tags
    facts = {
        "run": run.info.run_name or "",
        "result": outcome(run),
        "why": known.get(tags.ERROR, "") or known.get(tags.VERDICT, "").partition(": ")[2],
        "started": _time(run.info.start_time / 1000),
        "took": _seconds(_took(run)),
        "model": known.get(tags.MODEL_VERSION, "").replace("/", " version "),
        **{score.replace("_", " "): f"{run.data.metrics[score]:.4f}" for score in _SCORES if score in run.data.metrics},
        "configuration": known.get(tags.CONFIG_FILE, ""),
        "commit": known.get(tags.GIT_COMMIT, ""),
        "kubeflow": known.get(tags.KFP_RUN_URL, ""),
        "mlflow run": run.info.run_id,
    }
    rows = [
        (
            step.data.tags[tags.STEP],
            "cached" if tags.REUSED_FROM in step.data.tags else step.info.status.lower(),
            "" if tags.REUSED_FROM in step.data.tags else _seconds(_took(step)),
        )
        for step in run_tree.children(client, run.info.run_id)
    ]
    return _shown(facts, rows)


def of_cluster(api: Api, run: "V2beta1Run", steps: Iterable[str], kubeflow: str, mlflow: str) -> RenderableType:
    """Return a run as KFP has it, with the reason of a failure from the pod, and these links."""
    run = api.call(api.runs.run_service_get_run, run.run_id)  # a list of runs lacks their tasks
    tasks = follow.tasks_of(run, list(steps))
    failed = follow.failed_step(tasks)
    reason = f"{failed}: {pods.reason(api, run, failed)}" if failed else ""
    took = (run.finished_at - run.created_at).total_seconds() if run.finished_at and run.created_at else -1
    facts = {
        "run": run.display_name,
        "result": follow.state_of(run),
        "why": reason.rstrip(": "),
        "started": _time(run.created_at.timestamp()) if run.created_at else "",
        "took": _seconds(took),  # KFP reports 1970 as the end of a run that is not over
        "kubeflow": kubeflow,
        "mlflow": mlflow,
    }
    rows = [(name, task.state.lower(), _seconds(follow.seconds(task))) for name, task in tasks.items()]
    return _shown(facts, rows)


def _shown(facts: dict[str, str], rows: Iterable[tuple[str, ...]]) -> RenderableType:
    head = tables.facts()
    for title, value in facts.items():
        if value:
            tables.add(head, title, value)
    table = tables.new(tables.whole(_STEPS[0]), tables.whole(_STEPS[1]), tables.number(_STEPS[2]))
    for row in rows:
        tables.add(table, *row)
    return Group(head, "", table) if table.row_count else head


def _took(run: "Run") -> float | None:
    return (run.info.end_time - run.info.start_time) / 1000 if run.info.end_time else None


def _seconds(seconds: float | None) -> str:
    return "" if seconds is None or seconds < 0 else f"{seconds:.0f} s"


def _time(seconds: float) -> str:
    return f"{datetime.datetime.fromtimestamp(seconds):%Y-%m-%d %H:%M}"
