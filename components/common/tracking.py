"""Every pipeline run is one MLflow run, and every step a run nested in it.

Which pipeline run a step belongs to comes from its environment, so that no step has it as a parameter (a parameter
that changes with every run would defeat caching): MLFLOW_RUN_ID names the parent run where a backend has made one (the
local backend, or KFP's MLflow plugin); elsewhere the parent is found by its tag `kfp.run_id`, or created with it.
"""

import contextlib
import getpass
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.data.dataset import Dataset
    from mlflow.entities import Run
    from mlflow.entities.model_registry import ModelVersion

KFP_RUN_ID = "kfp.run_id"
GIT_COMMIT = "mlflow.source.git.commit"
CONFIG_FILE = "berth.config_file"
FINGERPRINT = "berth.data_fingerprint"
SETTINGS = "berth.settings_digest"
CODE = "berth.code_version"
PIPELINE_RUN = "berth.run_id"
STEP = "berth.step"
REUSED_FROM = "berth.reused_from"
VERDICT = "berth.verdict"
ERROR = "berth.error"
DESCRIPTION = "mlflow.note.content"
"""Markdown that MLflow shows on a run's page."""

CHAMPION = "champion"
"""The registry's alias that users follow."""
PREVIOUS = "previous"
"""The alias of what was champion before: where a rollback goes."""
CHALLENGER = "challenger"
"""The alias of the newest version that was not blessed."""

MODEL_VERSION = "berth.model_version"
"""On a pipeline run: the version that its model became, NAME/VERSION."""
GATE = "berth.gate."
"""On a version, with the gate's name behind it: how the gate failed, in words."""
DIGEST = "berth.sha256"
"""On a version: the digest of its model's SHA256SUMS."""
SERVING_FOLDER = "berth.serving_folder"
"""On a version: `<push_to>/<model>`, the folder of versions that TensorFlow Serving reads."""
PUBLISHED = "berth.published"
"""On a version: `pending` from its registration until its files are in the serving folder, then `yes`."""
WITHDRAWN = "berth.withdrawn"
"""On a version that a rollback or a promotion took from users: no push makes it the champion again."""
AUDIT = "berth.audit."
"""On a version, with the time behind it: who made it the champion by hand, or took it back, and why."""

RUN_ID = "mlflow_run_id"
"""The key under which an output artifact's metadata names the MLflow run of the step that wrote it."""

_SOURCE = {"mlflow.source.name": "berth", "mlflow.source.type": "PROJECT"}
_TAG_LIMIT = 4000
_NAME_LIMIT = 250
_METRICS_LIMIT = 1000
"""MLflow's own, of metrics in one request."""


def create_parent(experiment: str, run_name: str | None, tags: Mapping[str, str]) -> str:
    """Create the run of a pipeline run in `experiment` (made if need be) and return its id."""
    import mlflow

    client = mlflow.MlflowClient()
    found = client.get_experiment_by_name(experiment)
    experiment_id = (
        found.experiment_id
        if found
        else client.create_experiment(experiment, artifact_location=_artifact_location(mlflow.get_tracking_uri()))
    )
    return client.create_run(experiment_id, run_name=run_name, tags={**_user(), **_SOURCE, **tags}).info.run_id


def parent_run() -> "Run":
    """Return the run of the pipeline run that this process is a step of, created if no backend has made it."""
    import mlflow

    client = mlflow.MlflowClient()
    # start_run consumes MLFLOW_RUN_ID and would resume the parent instead of nesting under it: hide it.
    if run_id := os.environ.pop("MLFLOW_RUN_ID", None) or os.environ.get("BERTH_PARENT_RUN_ID"):
        os.environ["BERTH_PARENT_RUN_ID"] = run_id
        return client.get_run(run_id)
    pipeline_run = os.environ.get("KFP_RUN_ID", f"process-{os.getpid()}")
    experiments = [experiment.experiment_id for experiment in client.search_experiments()]
    found = client.search_runs(experiments, f"tags.`{KFP_RUN_ID}` = '{pipeline_run}'", max_results=1)
    if found:
        return found[0]
    experiment = os.environ.get("MLFLOW_EXPERIMENT_NAME", "berth")
    return client.get_run(create_parent(experiment, None, {KFP_RUN_ID: pipeline_run}))


@contextlib.contextmanager
def step_run(
    step: str,
    params: Mapping[str, Any] | None = None,
    upstream: Sequence[Mapping[str, Any]] = (),
    system_metrics: bool = False,
) -> Iterator["Run"]:
    """Open the nested run of `step`; an exception ends it as FAILED, with the error as a tag there and on the parent.

    `params` are logged as `log_params` does. `upstream` is the metadata of the step's input artifacts. An input that
    came out of the cache was made under another pipeline run; a nested run of this one then says which, with what
    that run logged. With `system_metrics` MLflow logs the use of CPU, memory, disk, network and GPU every 10 s.
    """
    import mlflow

    client = mlflow.MlflowClient()
    parent = parent_run()
    for metadata in upstream:
        if RUN_ID in metadata:
            _show_reused(client, parent, metadata[RUN_ID])
    with mlflow.start_run(
        run_name=step,
        experiment_id=parent.info.experiment_id,
        parent_run_id=parent.info.run_id,
        tags={**_SOURCE, STEP: step},
        log_system_metrics=system_metrics,
    ) as run:
        try:
            log_params(params or {})
            yield run
        except BaseException as error:
            message = (str(error) or type(error).__name__)[:_TAG_LIMIT]
            client.set_tag(run.info.run_id, ERROR, message)
            client.set_tag(parent.info.run_id, ERROR, f"{step}: {message}"[:_TAG_LIMIT])
            raise


def log_params(params: Mapping[str, Any]) -> None:
    """Log `params` on the step's run and on the parent, where runs are compared: no two steps have one of a name."""
    import mlflow
    from mlflow.entities import Param

    client = mlflow.MlflowClient()
    for run_id in _step_and_parent():
        # A step that is tried again may find another value, and MLflow lets none be changed: the first one stays.
        there = client.get_run(run_id).data.params
        client.log_batch(run_id, params=[Param(key, str(params[key])) for key in params if key not in there])


def log_datasets(datasets: "Mapping[str, Dataset]") -> None:
    """Log `datasets`, by what each is for, on the step's run and on the parent, where runs are listed and compared."""
    import mlflow
    from mlflow.entities import DatasetInput, InputTag
    from mlflow.utils.mlflow_tags import MLFLOW_DATASET_CONTEXT

    inputs = [
        DatasetInput(dataset._to_mlflow_entity(), tags=[InputTag(MLFLOW_DATASET_CONTEXT, context)])
        for context, dataset in datasets.items()
    ]
    for run_id in _step_and_parent():
        mlflow.MlflowClient().log_inputs(run_id, datasets=inputs)


def log_to_parent(tags: Mapping[str, str] | None = None, metrics: Mapping[str, float] | None = None) -> None:
    """Put `tags` and `metrics` on the run of the whole pipeline run, where runs are listed and compared."""
    import mlflow

    client = mlflow.MlflowClient()
    run_id = parent_run().info.run_id
    for key, value in (tags or {}).items():
        client.set_tag(run_id, key, value)
    for key, metric in (metrics or {}).items():
        client.log_metric(run_id, key, metric)


def metric_name(name: str) -> str:
    """Return `name` with what MLflow refuses in a metric's name replaced by underscores; a slash makes groups."""
    name = re.sub(r"[^\w\-. /:]", "_", name)[:_NAME_LIMIT]
    return "/".join(part if part.strip(". ") else "_" for part in name.split("/"))


def champion(model_name: str) -> "ModelVersion | None":
    """Return the version that users follow; None: nobody has pushed one.

    Any other trouble with the registry is raised: a champion that cannot be seen is not none.
    """
    import mlflow
    from mlflow.exceptions import MlflowException

    try:
        return mlflow.MlflowClient().get_model_version_by_alias(model_name, CHAMPION)
    except MlflowException as error:
        # Without the model, and without the alias.
        if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            return None
        raise


def close(run_id: str, status: str, error: str = "") -> None:
    """End the pipeline run `run_id` as FINISHED, FAILED or KILLED, and every step of it that never ended.

    A step that is still running here was killed: no exception of its own could end its run.
    """
    import mlflow

    client = mlflow.MlflowClient()
    for child in children(client, run_id):
        if child.info.status == "RUNNING":
            step = child.data.tags.get(STEP, child.info.run_name)
            message = "killed before it could report an error (out of memory, or stopped from outside)"
            client.set_tag(child.info.run_id, ERROR, message)
            client.set_terminated(child.info.run_id, "KILLED" if status == "KILLED" else "FAILED")
            error = f"{step}: {message}"  # says more than the backend's "a task failed"
    if error and ERROR not in client.get_run(run_id).data.tags:
        client.set_tag(run_id, ERROR, error[:_TAG_LIMIT])
    client.set_terminated(run_id, status)


def children(client: "MlflowClient", run_id: str) -> list["Run"]:
    """Return the runs nested in `run_id`, oldest first."""
    experiment_id = client.get_run(run_id).info.experiment_id
    return list(
        client.search_runs(
            [experiment_id], f"tags.`mlflow.parentRunId` = '{run_id}'", order_by=["attributes.start_time ASC"]
        )
    )


def step_artifacts(run_id: str, step: str, folder: str, target: str | Path) -> Path | None:
    """Fetch the artifact `folder` of the step `step` of the pipeline run `run_id` to `target`; None: it has none.

    A step that came out of the cache has them where it ran.
    """
    import mlflow
    from mlflow.exceptions import MlflowException

    client = mlflow.MlflowClient()
    try:
        run = next((child for child in children(client, run_id) if child.data.tags.get(STEP) == step), None)
        if run is None:
            return None
        source = run.data.tags.get(REUSED_FROM, run.info.run_id)
        if not client.list_artifacts(source, folder) and folder not in {
            item.path for item in client.list_artifacts(source)
        }:
            return None
        return Path(mlflow.artifacts.download_artifacts(run_id=source, artifact_path=folder, dst_path=str(target)))
    except (MlflowException, OSError):
        return None


def _show_reused(client: "MlflowClient", parent: "Run", run_id: str) -> None:
    from mlflow.entities import Param
    from mlflow.exceptions import MlflowException

    try:
        source = client.get_run(run_id)
    except MlflowException:  # the store that the cached step logged to is gone; its outputs are not
        return
    step = source.data.tags.get(STEP, source.info.run_name)
    if any(child.data.tags.get(STEP) == step for child in children(client, parent.info.run_id)):
        return
    made = f"[the run that made it](#/experiments/{source.info.experiment_id}/runs/{run_id})"
    tags = {
        STEP: step,
        REUSED_FROM: run_id,
        DESCRIPTION: f"Out of the cache; files and logs are with {made}.",
        "mlflow.parentRunId": parent.info.run_id,
    }
    run = client.create_run(parent.info.experiment_id, run_name=f"{step} (cached)", tags={**_user(), **_SOURCE, **tags})
    params = [Param(key, value) for key, value in source.data.params.items()]
    history = [metric for key in source.data.metrics for metric in client.get_metric_history(run_id, key)]
    for target in (run.info.run_id, parent.info.run_id):
        client.log_batch(target, params=params)
        client.log_inputs(target, datasets=source.inputs.dataset_inputs if source.inputs else [])
    for start in range(0, len(history), _METRICS_LIMIT):
        client.log_batch(run.info.run_id, metrics=history[start : start + _METRICS_LIMIT])
    client.set_terminated(run.info.run_id, "FINISHED")


def _step_and_parent() -> tuple[str, str]:
    import mlflow

    run = mlflow.active_run()
    assert run is not None, "within step_run only"
    return run.info.run_id, parent_run().info.run_id


def _user() -> dict[str, str]:
    """Return the tag by which MLflow says who made a run; a container's user may have no name."""
    try:
        return {"mlflow.user": getpass.getuser()}
    except (KeyError, OSError):
        return {}


def _artifact_location(tracking_uri: str) -> str | None:
    """Return a folder beside a SQLite store, whatever folder the step runs in; a server chooses its own (None)."""
    if not tracking_uri.startswith("sqlite:///"):
        return None
    return (Path(tracking_uri.removeprefix("sqlite:///")).resolve().parent / "artifacts").as_uri()
