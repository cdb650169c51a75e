"""Close the MLflow run of a pipeline run truthfully, with a description that a person can read."""

from collections.abc import Sequence
from typing import TYPE_CHECKING
from urllib.parse import quote

from components.common import tracking
from components.common.markdown import escaped

if TYPE_CHECKING:
    from mlflow.entities import LoggedModelOutput, Run

STATUSES = {"SUCCEEDED": "FINISHED", "FAILED": "FAILED", "CANCELLED": "KILLED", "CANCELED": "KILLED"}
_REPORTS = {"evaluate": "report.html", "validate": "validation_report.html"}
"""What there is to read of a step that came far enough to log metrics."""


def close_run(run_id: str, state: str, error: str) -> None:
    """End the run `run_id` as KFP's final `state` says, and describe it; `error` is KFP's own message, if any."""
    import mlflow

    status = STATUSES.get(state, "FAILED")
    tracking.close(run_id, status, error if status != "FINISHED" else "")
    client = mlflow.MlflowClient()
    steps = tracking.children(client, run_id)
    run = client.get_run(run_id)
    client.set_tag(run_id, tracking.DESCRIPTION, describe(run, steps))
    shown = set(_models(run))
    if models := [model for step in steps for name, model in _models(step).items() if name not in shown]:
        client.log_outputs(run_id, models)  # so that the list of runs shows the model and its version


def describe(run: "Run", steps: "Sequence[Run]") -> str:
    """Return the run in Markdown: verdict or error, links, data, gates and scores; data is escaped.

    MLflow folds a description after about four lines: what a reader must not miss is in those.
    """
    tags = run.data.tags
    by_step = {step.data.tags.get(tracking.STEP): step for step in steps}
    lines = []
    if error := tags.get(tracking.ERROR):
        lines += [f"**{run.info.status}**: {escaped(error)}", ""]
    elif verdict := tags.get(tracking.VERDICT):
        lines += [f"**{escaped(verdict)}**", ""]
    reported = [step for step in _REPORTS if step in by_step and by_step[step].data.metrics]
    links = [_link(by_step[step], step, _REPORTS[step]) for step in reported]
    if model := tags.get(tracking.MODEL_VERSION):
        name, _, version = model.rpartition("/")
        links.insert(0, f"[{escaped(name)} version {version}](#/models/{quote(name)}/versions/{version})")
    if links:
        lines += [f"Open: {', '.join(links)}", ""]
    if ingested := by_step.get("ingest"):
        rows = ingested.data.metrics
        parts = [
            f"{rows[f'rows_{split}']:,.0f} {split}"
            for split in ("train", "validation", "test")
            if f"rows_{split}" in rows
        ]
        lines += [f"Data: {', '.join(parts)}; {rows.get('rejected', 0):,.0f} rejected.", ""]
    if evaluated := by_step.get("evaluate"):
        lines += [evaluated.data.tags.get(tracking.DESCRIPTION, "")]
    return "\n".join(lines).rstrip() + "\n"


def _models(run: "Run") -> "dict[str, LoggedModelOutput]":
    return {model.model_id: model for model in run.outputs.model_outputs} if run.outputs else {}


def _link(run: "Run", step: str, file: str) -> str:
    """Return a link to a step's report, which is where the step ran if it came out of the cache."""
    run_id = run.data.tags.get(tracking.REUSED_FROM, run.info.run_id)
    return f"[the report of {step}](#/experiments/{run.info.experiment_id}/runs/{run_id}/artifacts/{file})"
