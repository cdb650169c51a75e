"""The MLflow run of a pipeline run and the runs of its steps below it."""

from pathlib import Path
from typing import TYPE_CHECKING

from berth.tracking import tags
from berth.tracking.tags import TAG_LIMIT

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run


def close(run_id: str, status: str, error: str = "") -> None:
    """End the pipeline run `run_id` as FINISHED, FAILED or KILLED, and every step of it that never ended.

    A step that is still running here was killed: no exception of its own could end its run.
    """
    import mlflow

    client = mlflow.MlflowClient()
    for child in children(client, run_id):
        if child.info.status == "RUNNING":
            step = child.data.tags[tags.STEP]
            message = "killed before it could report an error (out of memory, time limit, or stopped from outside)"
            message = "stopped: the run was cancelled" if status == "KILLED" else message
            client.set_tag(child.info.run_id, tags.ERROR, message)
            client.set_terminated(child.info.run_id, "KILLED" if status == "KILLED" else "FAILED")
            error = f"{step}: {message}"  # says more than the backend's "a task failed"
    known = client.get_run(run_id).data.tags
    if status == "FINISHED" and tags.ERROR in known:  # of a try that was not the last
        client.delete_tag(run_id, tags.ERROR)
    elif error and tags.ERROR not in known:
        client.set_tag(run_id, tags.ERROR, error[:TAG_LIMIT])
    client.set_terminated(run_id, status)


def blame(run_id: str, step: str, error: str) -> None:
    """Name the failed `step` on the pipeline run `run_id`, unless its error is there as the step reported it.

    A step that was killed before it opened its run is known to the backend alone.
    """
    import mlflow

    client = mlflow.MlflowClient()
    if not client.get_run(run_id).data.tags.get(tags.ERROR, "").startswith(f"{step}: "):
        client.set_tag(run_id, tags.ERROR, f"{step}: {error}"[:TAG_LIMIT])


def children(client: "MlflowClient", run_id: str) -> list["Run"]:
    """Return the runs of the steps of the pipeline run `run_id`, oldest first."""
    return [run for run in nested(client, run_id) if tags.STEP in run.data.tags]


def step_artifacts(run_id: str, step: str, folder: str, target: str | Path) -> Path | None:
    """Fetch the artifact `folder` of the step `step` of the pipeline run `run_id` to `target`; None: it has none.

    A step that came out of the cache has them where it ran.
    """
    import mlflow
    from mlflow.exceptions import MlflowException

    client = mlflow.MlflowClient()
    try:
        run = made_by(client, run_id, step)
        if run is None:
            return None
        source = run.info.run_id
        if not client.list_artifacts(source, folder) and folder not in {
            item.path for item in client.list_artifacts(source)
        }:
            return None
        return Path(mlflow.artifacts.download_artifacts(run_id=source, artifact_path=folder, dst_path=str(target)))
    except (MlflowException, OSError):
        return None


def step_params(run_id: str, step: str) -> dict[str, str]:
    """Return the parameters of the step `step` of the pipeline run `run_id`; none where there is no such run."""
    import mlflow
    from mlflow.exceptions import MlflowException

    try:
        run = made_by(mlflow.MlflowClient(), run_id, step)
    except MlflowException:
        return {}
    return dict(run.data.params) if run else {}


def made_by(client: "MlflowClient", run_id: str, step: str) -> "Run | None":
    """Return the run of the step `step` of the pipeline run `run_id`, or where it ran if it came out of the cache."""
    run = next((child for child in children(client, run_id) if child.data.tags.get(tags.STEP) == step), None)
    reused = run.data.tags.get(tags.REUSED_FROM) if run else None
    return client.get_run(reused) if reused else run


def nested(client: "MlflowClient", run_id: str) -> list["Run"]:
    """Return the runs below `run_id`, oldest first; KFP's MLflow plugin may have put one for a group in between."""
    experiment_id = client.get_run(run_id).info.experiment_id
    order = ["attributes.start_time ASC"]
    found: list[Run] = []
    outer = [run_id]
    while outer:
        inner = client.search_runs([experiment_id], f"tags.`{tags.PARENT}` = '{outer.pop()}'", order_by=order)
        found += inner
        outer += [run.info.run_id for run in inner if tags.STEP not in run.data.tags]
    return found
