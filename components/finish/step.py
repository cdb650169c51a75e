"""Close the MLflow run of a pipeline run truthfully, with a description that a person can read."""

from collections.abc import Sequence
from typing import TYPE_CHECKING
from urllib.parse import quote

from components.common import tracking
from components.common.markdown import escaped

if TYPE_CHECKING:
    from mlflow.entities import Run

STATUSES = {"SUCCEEDED": "FINISHED", "FAILED": "FAILED", "CANCELLED": "KILLED", "CANCELED": "KILLED"}
_REPORTS = {"evaluate": "report.html", "validate": "validation_report.html"}
"""What there is to read of a step."""


def close_run(run_id: str, state: str, error: str) -> None:
    """End the run `run_id` as KFP's final `state` says, and describe it; `error` is KFP's own message, if any."""
    import mlflow

    status = STATUSES.get(state, "FAILED")
    tracking.close(run_id, status, error if status != "FINISHED" else "")
    client = mlflow.MlflowClient()
    description = describe(client.get_run(run_id), tracking.children(client, run_id))
    client.set_tag(run_id, tracking.DESCRIPTION, description)


def describe(run: "Run", steps: "Sequence[Run]") -> str:
    """Return the run in Markdown: its verdict or error, gates and scores, data, links; data is escaped."""
    tags = run.data.tags
    by_step = {step.data.tags.get(tracking.STEP): step for step in steps}
    lines = []
    if error := tags.get(tracking.ERROR):
        lines += [f"**{run.info.status}**: {escaped(error)}", ""]
    elif verdict := tags.get(tracking.VERDICT):
        lines += [f"**{escaped(verdict)}**", ""]
    if evaluated := by_step.get("evaluate"):
        lines += [evaluated.data.tags.get(tracking.DESCRIPTION, "")]
    if ingested := by_step.get("ingest"):
        rows = ingested.data.metrics
        parts = [
            f"{rows[f'rows_{split}']:,.0f} {split}"
            for split in ("train", "validation", "test")
            if f"rows_{split}" in rows
        ]
        lines += [f"Data: {', '.join(parts)}; {rows.get('rejected', 0):,.0f} rejected.", ""]
    if model := tags.get(tracking.MODEL_VERSION):
        name, _, version = model.rpartition("/")
        lines += [f"Model: [{escaped(name)}, version {version}](#/models/{quote(name)}/versions/{version})", ""]
    if links := [_link(by_step[step], step, file) for step, file in _REPORTS.items() if step in by_step]:
        lines += [f"To read: {', '.join(links)}", ""]
    return "\n".join(lines).rstrip() + "\n"


def _link(run: "Run", step: str, file: str) -> str:
    """Return a link to a step's report, which is where the step ran if it came out of the cache."""
    run_id = run.data.tags.get(tracking.REUSED_FROM, run.info.run_id)
    return f"[the report of {step}](#/experiments/{run.info.experiment_id}/runs/{run_id}/artifacts/{file})"
