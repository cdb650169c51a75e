"""Every pipeline run is one MLflow run, and every step a run nested in it.

Which pipeline run a step belongs to comes from its environment, so that no step has it as a parameter (a parameter
that changes with every run would defeat caching):

- MLFLOW_RUN_ID, from the local backend, is the pipeline run's; from KFP's MLflow plugin it is a run that the plugin has
  made for this very step, nested in the pipeline run's, and the step goes on with it;
- KFP_RUN_ID, in a pod, is KFP's own id of the pipeline run, a tag of its MLflow run. The plugin has made that, or the
  pipeline run's first step does (`open_run`): it runs alone, so that no two steps make one each.
"""

import contextlib
import datetime
import getpass
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, unquote, urlsplit

from components.common.errors import BerthError

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.data.dataset import Dataset
    from mlflow.entities import Run
    from mlflow.entities.model_registry import ModelVersion

KFP_RUN_ID = "kfp.pipeline_run_id"
KFP_RUN_URL = "kfp.pipeline_run_url"
"""The names that KFP's MLflow plugin has for its tags."""
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
FINAL = "berth.final"
"""On a failed step: the error is one that the user has to mend, so that trying again is no use."""
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

FROM_SECRET = {
    f"BERTH_MLFLOW_{name}": f"MLFLOW_TRACKING_{name}"
    for name in ("URI", "USERNAME", "PASSWORD", "TOKEN", "INSECURE_TLS")
}
"""MLflow's variables by those in which a pod has them from its secret.

Under MLflow's own names they would stand beside those of KFP's MLflow plugin in the pod, which Kubernetes refuses.
"""

_PARENT = "mlflow.parentRunId"
_SOURCE = {"mlflow.source.name": "berth", "mlflow.source.type": "PROJECT"}
_PIPELINE_RUN = "BERTH_PARENT_RUN_ID"
_STEP_RUN = "BERTH_STEP_RUN_ID"
"""Variables in which what MLFLOW_RUN_ID has told is kept."""
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


def open_run(experiment: str, pipeline_run: str = "") -> "Run":
    """Return the MLflow run of the pipeline run that this process is a step of, made in `experiment` if nobody has.

    For a step that no other of the run is beside: the first, and the exit handler in case the first never ran.
    `pipeline_run` is KFP's id of the run, for where the environment does not tell it.
    """
    import mlflow

    kfp_run = pipeline_run_id(pipeline_run)
    if found := _known_run() or _run_of(kfp_run):
        return found
    client = mlflow.MlflowClient()
    name = f"{experiment}-{datetime.datetime.now():%Y%m%d-%H%M%S}"
    made = client.get_run(create_parent(experiment, name, {KFP_RUN_ID: kfp_run} if kfp_run else {}))
    # A request that got no answer is sent again by MLflow's client, and a pod that is thought dead may live: one stays.
    oldest = _run_of(kfp_run) or made
    if oldest.info.run_id != made.info.run_id:
        client.delete_run(made.info.run_id)
    os.environ[_PIPELINE_RUN] = oldest.info.run_id
    return oldest


def parent_run() -> "Run":
    """Return the MLflow run of the pipeline run that this process is a step of.

    Raises:
        BerthError: there is none.
    """
    if found := _known_run() or _run_of(pipeline_run_id()):
        return found
    if run := pipeline_run_id():
        raise BerthError(f"MLflow has no run of the pipeline run {run}, whose first step makes one. Was it deleted?")
    raise BerthError("this process belongs to no pipeline run: neither MLFLOW_RUN_ID nor KFP_RUN_ID is set.")


def pipeline_run_id(default: str = "") -> str:
    """Return KFP's id of the pipeline run, which a pod has in its environment."""
    return os.environ.get("KFP_RUN_ID") or default


def kfp_run_url(kfp_ui: str) -> str:
    """Return this pipeline run's address in the Kubeflow UI at `kfp_ui`; empty without one, or outside a cluster."""
    run = pipeline_run_id()
    return f"{kfp_ui.rstrip('/')}/#/runs/details/{quote(run)}" if kfp_ui and run else ""


def hide_credentials() -> None:
    """Move the user and password of MLFLOW_TRACKING_URI to the variables that MLflow has for them.

    MLflow's errors hold the URI, and so would logs and tags.
    """
    uri = os.environ.get("MLFLOW_TRACKING_URI", "")
    parts = urlsplit(uri)
    if parts.scheme in ("http", "https") and parts.username:
        os.environ["MLFLOW_TRACKING_USERNAME"] = unquote(parts.username)
        os.environ["MLFLOW_TRACKING_PASSWORD"] = unquote(parts.password or "")
        os.environ["MLFLOW_TRACKING_URI"] = parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()


@contextlib.contextmanager
def step_run(
    step: str,
    params: Mapping[str, Any] | None = None,
    upstream: Sequence[Mapping[str, Any]] = (),
    system_metrics: bool = False,
    repeats_errors: bool = True,
) -> Iterator["Run"]:
    """Open the nested run of `step`; an exception ends it as FAILED, with the error as a tag there and on the parent.

    `params` are logged as `log_params` does. `upstream` is the metadata of the step's input artifacts. An input that
    came out of the cache was made under another pipeline run; a nested run of this one then says which, with what
    that run logged. With `system_metrics` MLflow logs the use of CPU, memory, disk, network and GPU every 10 s.
    A cluster cannot tell a step's own error from a lost node and repeats both: with `repeats_errors` False, a step
    whose last try ended in a BerthError raises it again at once.
    """
    import mlflow

    client = mlflow.MlflowClient()
    parent = parent_run()
    own = os.environ.pop(_STEP_RUN, None)
    if pipeline_run_id() and parent.info.status == "RUNNING" and not repeats_errors:
        _raise_again(client, parent, step)
    if parent.info.status != "RUNNING":  # KFP's own retry of a run that has ended
        client.update_run(parent.info.run_id, status="RUNNING")
    for metadata in upstream:
        if RUN_ID in metadata:
            _show_reused(client, parent, metadata[RUN_ID])
    tags = {**_SOURCE, STEP: step}
    if own:
        for key, value in tags.items():
            client.set_tag(own, key, value)
        opened = mlflow.start_run(run_id=own, log_system_metrics=system_metrics)
    else:
        opened = mlflow.start_run(
            run_name=step,
            experiment_id=parent.info.experiment_id,
            parent_run_id=parent.info.run_id,
            tags=tags,
            log_system_metrics=system_metrics,
        )
    with opened as run:
        try:
            log_params(params or {})
            yield run
        except BaseException as error:
            message = (str(error) or type(error).__name__)[:_TAG_LIMIT]
            client.set_tag(run.info.run_id, ERROR, message)
            if isinstance(error, BerthError):
                client.set_tag(run.info.run_id, FINAL, "yes")
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
            step = child.data.tags[STEP]
            message = "killed before it could report an error (out of memory, or stopped from outside)"
            client.set_tag(child.info.run_id, ERROR, message)
            client.set_terminated(child.info.run_id, "KILLED" if status == "KILLED" else "FAILED")
            error = f"{step}: {message}"  # says more than the backend's "a task failed"
    known = client.get_run(run_id).data.tags
    if status == "FINISHED" and ERROR in known:  # of a try that was not the last
        client.delete_tag(run_id, ERROR)
    elif error and ERROR not in known:
        client.set_tag(run_id, ERROR, error[:_TAG_LIMIT])
    client.set_terminated(run_id, status)


def children(client: "MlflowClient", run_id: str) -> list["Run"]:
    """Return the runs of the steps of the pipeline run `run_id`, oldest first."""
    return [run for run in _nested(client, run_id) if STEP in run.data.tags]


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


def _raise_again(client: "MlflowClient", parent: "Run", step: str) -> None:
    """Raise the error of the last try of `step`, if that is one that trying again does not mend."""
    tries = [child for child in children(client, parent.info.run_id) if child.data.tags[STEP] == step]
    if tries and tries[-1].info.status == "FAILED" and FINAL in tries[-1].data.tags:
        raise BerthError(tries[-1].data.tags[ERROR])


def _show_reused(client: "MlflowClient", parent: "Run", run_id: str) -> None:
    from mlflow.entities import Param, RunTag
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
        _PARENT: parent.info.run_id,
    }
    run = next((run for run in _nested(client, parent.info.run_id) if run.info.run_name == step), None)
    name = f"{step} (cached)"
    if run is None:
        run = client.create_run(parent.info.experiment_id, run_name=name, tags={**_user(), **_SOURCE, **tags})
    else:  # KFP's MLflow plugin has made one
        client.log_batch(run.info.run_id, tags=[RunTag(key, value) for key, value in {**_SOURCE, **tags}.items()])
        client.update_run(run.info.run_id, name=name)
    history = [metric for key in source.data.metrics for metric in client.get_metric_history(run_id, key)]
    for target in (run.info.run_id, parent.info.run_id):
        there = client.get_run(target).data.params
        client.log_batch(
            target, params=[Param(key, value) for key, value in source.data.params.items() if key not in there]
        )
        client.log_inputs(target, datasets=source.inputs.dataset_inputs if source.inputs else [])
    for start in range(0, len(history), _METRICS_LIMIT):
        client.log_batch(run.info.run_id, metrics=history[start : start + _METRICS_LIMIT])
    client.set_terminated(run.info.run_id, "FINISHED")


def _known_run() -> "Run | None":
    """Return the pipeline run's MLflow run where a backend, or an earlier call, has named it or one nested in it."""
    import mlflow

    if not os.environ.get("MLFLOW_TRACKING_URI"):
        os.environ.update({own: os.environ[name] for name, own in FROM_SECRET.items() if os.environ.get(name)})
    hide_credentials()
    if pipeline_run_id() and not os.environ.get("MLFLOW_TRACKING_URI"):
        raise BerthError(
            "MLFLOW_TRACKING_URI is not set in this pod. Put it into the secret that cluster.mlflow_secret names, in "
            "the namespace of the run."
        )
    client = mlflow.MlflowClient()
    # start_run consumes MLFLOW_RUN_ID and would resume the run that it names, whichever that is: hide it.
    if named := os.environ.pop("MLFLOW_RUN_ID", None):
        run = client.get_run(named)
        while outer := run.data.tags.get(_PARENT):
            os.environ[_STEP_RUN] = named
            run = client.get_run(outer)
        os.environ[_PIPELINE_RUN] = run.info.run_id
        return run
    return client.get_run(os.environ[_PIPELINE_RUN]) if _PIPELINE_RUN in os.environ else None


def _run_of(pipeline_run: str) -> "Run | None":
    """Return the MLflow run of the pipeline run with this id of KFP's, the oldest if there are several."""
    import mlflow

    if not pipeline_run:
        return None
    client = mlflow.MlflowClient()
    page = client.search_experiments()
    ids = [experiment.experiment_id for experiment in page]
    while page.token:
        page = client.search_experiments(page_token=page.token)
        ids += [experiment.experiment_id for experiment in page]
    found = client.search_runs(ids, f"tags.`{KFP_RUN_ID}` = '{pipeline_run}'")
    runs = [run for run in found if _PARENT not in run.data.tags]
    return min(runs, key=lambda run: (run.info.start_time, run.info.run_id), default=None)


def _nested(client: "MlflowClient", run_id: str) -> list["Run"]:
    """Return the runs below `run_id`, oldest first; KFP's MLflow plugin may have put one for a group in between."""
    experiment_id = client.get_run(run_id).info.experiment_id
    order = ["attributes.start_time ASC"]
    found: list[Run] = []
    outer = [run_id]
    while outer:
        inner = client.search_runs([experiment_id], f"tags.`{_PARENT}` = '{outer.pop()}'", order_by=order)
        found += inner
        outer += [run.info.run_id for run in inner if STEP not in run.data.tags]
    return found


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
