"""Close the MLflow run of a pipeline run truthfully, with a description that a person can read."""

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from components.common import tracking

if TYPE_CHECKING:
    from mlflow.entities import Run

STATUSES = {"SUCCEEDED": "FINISHED", "FAILED": "FAILED", "CANCELLED": "KILLED", "CANCELED": "KILLED"}
_SCORES = ("accuracy", "macro_f1", "roc_auc", "log_loss")


def close_run(run_id: str, state: str, error: str) -> None:
    """End the run `run_id` as KFP's final `state` says, and describe it; `error` is KFP's own message, if any."""
    import mlflow

    status = STATUSES.get(state, "FAILED")
    tracking.close(run_id, status, error if status != "FINISHED" else "")
    client = mlflow.MlflowClient()
    description = describe(client.get_run(run_id), tracking.children(client, run_id))
    client.set_tag(run_id, "mlflow.note.content", description)


def describe(run: "Run", steps: "Sequence[Run]") -> str:
    """Return the run in Markdown: its verdict or error, its scores, its data; what comes from data is escaped."""
    tags, metrics = run.data.tags, run.data.metrics
    lines = []
    if error := tags.get(tracking.ERROR):
        lines += [f"**{run.info.status}**: {_escaped(error)}", ""]
    elif verdict := tags.get(tracking.VERDICT):
        lines += [f"**{_escaped(verdict)}**", ""]
    if scores := [name for name in _SCORES if name in metrics]:
        lines += ["| " + " | ".join(scores) + " |", "| --- " * len(scores) + "|"]
        lines += ["| " + " | ".join(f"{metrics[name]:.4f}" for name in scores) + " |", ""]
    rows = next((step.data.metrics for step in steps if step.data.tags.get(tracking.STEP) == "ingest"), {})
    if rows:
        parts = [
            f"{rows[f'rows_{split}']:,.0f} {split}"
            for split in ("train", "validation", "test")
            if f"rows_{split}" in rows
        ]
        lines += [f"Data: {', '.join(parts)}; {rows.get('rejected', 0):,.0f} rejected.", ""]
    if model := tags.get("berth.model_version"):
        lines += [f"Model: `{_escaped(model)}`", ""]
    return "\n".join(lines).rstrip() + "\n"


def _escaped(text: str) -> str:
    """Return `text` as Markdown that shows it, and neither formats nor runs it."""
    text = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return re.sub(r"([\\`*_{}\[\]()#+!|~])", r"\\\1", text)
