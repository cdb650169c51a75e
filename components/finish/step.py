"""Close the MLflow run of a pipeline run truthfully, with a description that a person can read; then tell people."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import quote

from pydantic import ValidationError

from berth.reports.markdown import escaped
from berth.settings import Notify
from berth.tracking import pipeline_run, run_tree, tags
from components.finish import kubeflow
from components.finish.notify import Ending, tell

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import LoggedModelOutput, Run


STATUSES = {
    **{"SUCCEEDED": "FINISHED", "FAILED": "FAILED", "CANCELLED": "KILLED", "CANCELED": "KILLED"},
    **{"COMPLETE": "FINISHED", "CACHED": "FINISHED"},
}
"""MLflow's words for KFP's: the API's, and those of the metadata store, which KFP's driver hands to an exit handler."""
_LAST = ("push", "refuse", "push_encoder", "refuse_encoder")
"""The steps after which a run has nothing left to do."""
_REPORTS = {"evaluate": "report.html", "evaluate_encoder": "report.html", "validate": "validation_report.html"}
"""What there is to read of a step that came far enough to log metrics."""


@dataclass(frozen=True)
class Finished:
    """How the run ended, in MLflow's words, and what went wrong with telling people."""

    status: str
    warnings: list[str]


def finish_run(
    name: str, state: str, error: str, notify: Mapping[str, object], kfp_ui: str, mlflow_ui: str
) -> Finished:
    """Close the run of the pipeline run that this process is the end of, and notify.

    If MLflow cannot be reached, people are notified all the same, before the error is raised. Where an earlier
    try of finish has done it all, nothing is done.
    """
    settings, warnings = _understood(notify)
    links = {"Kubeflow": pipeline_run.kfp_run_url(kfp_ui)}
    try:
        run = pipeline_run.open_run(name)
        if tags.FINISHED in run.data.tags:
            return Finished(run.info.status, [])
        run = close_run(run.info.run_id, state, error)
    except Exception as trouble:
        reason = f"MLflow could not be told that the run ended as {state} ({type(trouble).__name__})."
        for warning in tell(settings, Ending(name, "", "FAILED", reason, _there(links))):
            print(f"warning: {warning}", flush=True)
        raise
    if mlflow_ui:
        links["MLflow"] = f"{mlflow_ui.rstrip('/')}/#/experiments/{run.info.experiment_id}/runs/{run.info.run_id}"
    reason = run.data.tags.get(tags.ERROR) or run.data.tags.get(tags.VERDICT, "")
    ending = Ending(name, run.info.run_name or run.info.run_id, run.info.status, reason, _there(links))
    warnings += tell(settings, ending)
    _mark_finished(run.info.run_id)
    return Finished(run.info.status, warnings)


def close_run(run_id: str, state: str, error: str) -> "Run":
    """End the run `run_id` as KFP's final `state` says, describe it, and return it.

    `error` is KFP's own message, if any.
    """
    import mlflow

    client = mlflow.MlflowClient()
    status = STATUSES.get(state, "FAILED")
    if status == "FAILED":  # or KFP only says so: of a step that failed once, or while its exit handler runs
        kfp_run = pipeline_run.kfp_run_id()
        cancelled = kfp_run and kubeflow.is_cancelled(kfp_run)
        status = "FINISHED" if _is_at_its_end(client, run_id) else "KILLED" if cancelled else "FAILED"
    run_tree.close(run_id, status, error if status != "FINISHED" else "")
    steps = run_tree.children(client, run_id)
    run = client.get_run(run_id)
    client.set_tag(run_id, tags.DESCRIPTION, describe(run, steps))
    shown = set(_models(run))
    if models := [model for step in steps for name, model in _models(step).items() if name not in shown]:
        client.log_outputs(run_id, models)  # so that the list of runs shows the model and its version
    return client.get_run(run_id)


def describe(run: "Run", steps: "Sequence[Run]") -> str:
    """Return the run in Markdown: verdict or error, links, data, gates and scores; data is escaped.

    MLflow folds a description after about four lines: what a reader must not miss is in those.
    """
    run_tags = run.data.tags
    by_step = {step.data.tags.get(tags.STEP): step for step in steps}
    lines = []
    if error := run_tags.get(tags.ERROR):
        lines += [f"**{run.info.status}**: {escaped(error)}", ""]
    elif verdict := run_tags.get(tags.VERDICT):
        lines += [f"**{escaped(verdict)}**", ""]
    reported = [step for step in _REPORTS if step in by_step and by_step[step].data.metrics]
    links = [_link(by_step[step], step, _REPORTS[step]) for step in reported]
    if model := run_tags.get(tags.MODEL_VERSION):
        links.insert(0, _version_link(model))
    if encoder := run_tags.get(tags.ENCODER_VERSION):
        links.append(f"the encoder it began from, {_version_link(encoder)}")
    if links:
        lines += [f"Open: {', '.join(links)}", ""]
    lines += _data(by_step)
    if evaluated := by_step.get("evaluate") or by_step.get("evaluate_encoder"):
        lines += [evaluated.data.tags.get(tags.DESCRIPTION, "")]
    return "\n".join(lines).rstrip() + "\n"


def _data(by_step: "Mapping[str | None, Run]") -> list[str]:
    """Return the lines on what was read: rows by split, or documents."""
    if ingested := by_step.get("ingest"):
        rows, kind, left_out = ingested.data.metrics, "rows", "rejected"
    elif ingested := by_step.get("ingest_corpus"):
        rows, kind, left_out = ingested.data.metrics, "documents", "dropped"
    else:
        return []
    parts = [
        f"{rows[f'{kind}_{split}']:,.0f} {split.replace('_', ' ')}"
        for split in ("train", "validation", "test", "held_out")
        if f"{kind}_{split}" in rows
    ]
    return [f"Data: {', '.join(parts)}; {rows.get(left_out, 0):,.0f} {left_out}.", ""]


def _understood(notify: Mapping[str, object]) -> tuple[Notify, list[str]]:
    """Return the settings, or none and a warning: a run started from KFP's form is closed whatever it says there."""
    try:
        return Notify.model_validate(notify), []
    except ValidationError as error:
        return Notify.model_validate({}), [f"notify: {error.errors()[0]['msg']}. No notification was sent."]


def _mark_finished(run_id: str) -> None:
    import mlflow

    mlflow.MlflowClient().set_tag(run_id, tags.FINISHED, "yes")


def _is_at_its_end(client: "MlflowClient", run_id: str) -> bool:
    """Return whether the steps have left nothing to do.

    KFP may call a run RUNNING while its exit handler runs, or FAILED where the second try of a step has succeeded: a
    group of steps is COMPLETE only if each of them ran (backend/src/v2/metadata/client.go: UpdateDAGExecutionsState).
    """
    if client.get_run(run_id).data.tags.get(tags.VERDICT, "").startswith("UNCHANGED"):
        return True
    last = [step for step in run_tree.children(client, run_id) if step.data.tags[tags.STEP] in _LAST]
    return any(step.info.status == "FINISHED" for step in last)


def _there(links: Mapping[str, str]) -> dict[str, str]:
    return {title: url for title, url in links.items() if url}


def _models(run: "Run") -> "dict[str, LoggedModelOutput]":
    return {model.model_id: model for model in run.outputs.model_outputs} if run.outputs else {}


def _version_link(model: str) -> str:
    """Return a link to a registered version, NAME/VERSION."""
    name, _, version = model.rpartition("/")
    return f"[{escaped(name)} version {version}](#/models/{quote(name)}/versions/{version})"


def _link(run: "Run", step: str, file: str) -> str:
    """Return a link to a step's report, which is where the step ran if it came out of the cache."""
    run_id = run.data.tags.get(tags.REUSED_FROM, run.info.run_id)
    return f"[the report of {step}](#/experiments/{run.info.experiment_id}/runs/{run_id}/artifacts/{file})"
