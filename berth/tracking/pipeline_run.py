"""The pipeline run that a process is a step of, and the MLflow run that stands for it.

A step learns that from its environment, so that no step has it as a parameter (a parameter that changes with every run
would defeat caching):

- MLFLOW_RUN_ID, from the local backend, is the pipeline run's; from KFP's MLflow plugin it is a run that the plugin has
  made for this very step, nested in the pipeline run's, and the step goes on with it;
- KFP_RUN_ID, in a pod, is KFP's own id of the pipeline run, a tag of its MLflow run. The plugin has made that, or the
  pipeline run's first step does (`open_run`): it runs alone, so that no two steps make one each.
"""

import datetime
import getpass
import os
import shlex
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote, urlsplit

from berth import pod_secrets
from berth.errors import BerthError
from berth.tracking import sqlite_store, tags

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run


_PIPELINE_RUN = "BERTH_PARENT_RUN_ID"
_STEP_RUN = "BERTH_STEP_RUN_ID"
"""Variables in which what MLFLOW_RUN_ID has told is kept."""


def create_parent(experiment: str, run_name: str | None, own_tags: Mapping[str, str]) -> str:
    """Create the run of a pipeline run in `experiment` (made if need be) and return its id.

    Raises:
        BerthError: the experiment has been deleted in MLflow.
    """
    import mlflow

    client = mlflow.MlflowClient()
    experiment_id = _experiment_id(client, experiment)
    return client.create_run(experiment_id, run_name=run_name, tags={**user(), **tags.SOURCE, **own_tags}).info.run_id


def open_run(experiment: str, pipeline_run: str = "") -> "Run":
    """Return the MLflow run of the pipeline run that this process is a step of, made in `experiment` if nobody has.

    For a step that runs alone: the first, and the exit handler in case the first never ran.
    `pipeline_run` is KFP's id of the run, for where the environment does not tell it.
    """
    import mlflow

    kfp_run = kfp_run_id(pipeline_run)
    if found := _known_run() or _run_of(kfp_run):
        return found
    client = mlflow.MlflowClient()
    name = f"{experiment}-{datetime.datetime.now():%Y%m%d-%H%M%S}"
    made = client.get_run(create_parent(experiment, name, {tags.KFP_RUN_ID: kfp_run} if kfp_run else {}))
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
    if found := _known_run() or _run_of(kfp_run_id()):
        return found
    if run := kfp_run_id():
        raise BerthError(f"MLflow has no run of the pipeline run {run}, whose first step makes one. Was it deleted?")
    raise BerthError("this process belongs to no pipeline run: neither MLFLOW_RUN_ID nor KFP_RUN_ID is set.")


def own_run() -> str | None:
    """Return the run that KFP's MLflow plugin has made for this step, the first time that this is called."""
    return os.environ.pop(_STEP_RUN, None)


def kfp_run_id(default: str = "") -> str:
    """Return KFP's id of the pipeline run, which a pod has in its environment."""
    return os.environ.get("KFP_RUN_ID") or default


def kfp_run_url(kfp_ui: str) -> str:
    """Return this pipeline run's address in the Kubeflow UI at `kfp_ui`; empty without one, or outside a cluster.

    Example:
        >>> from unittest import mock
        >>> with mock.patch.dict(os.environ, KFP_RUN_ID="5f2a"):
        ...     print(kfp_run_url("https://kfp.example/"))
        https://kfp.example/#/runs/details/5f2a
    """
    run = kfp_run_id()
    return f"{kfp_ui.rstrip('/')}/#/runs/details/{quote(run)}" if kfp_ui and run else ""


def user() -> dict[str, str]:
    """Return the tag by which MLflow says who made a run; a container's user may have no name."""
    try:
        return {"mlflow.user": getpass.getuser()}
    except (KeyError, OSError):
        return {}


def hide_credentials() -> None:
    """Move the user and password of MLFLOW_TRACKING_URI to the variables that MLflow has for them.

    MLflow's errors hold the URI, and so would logs and tags.

    Example:
        >>> from unittest import mock
        >>> with mock.patch.dict(os.environ, MLFLOW_TRACKING_URI="https://ann:secret@mlflow.example"):
        ...     hide_credentials()
        ...     print(os.environ["MLFLOW_TRACKING_URI"], os.environ["MLFLOW_TRACKING_USERNAME"])
        https://mlflow.example ann
    """
    uri = os.environ.get("MLFLOW_TRACKING_URI", "")
    parts = urlsplit(uri)
    if parts.scheme in ("http", "https") and parts.username:
        os.environ["MLFLOW_TRACKING_USERNAME"] = unquote(parts.username)
        os.environ["MLFLOW_TRACKING_PASSWORD"] = unquote(parts.password or "")
        os.environ["MLFLOW_TRACKING_URI"] = parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()


def _known_run() -> "Run | None":
    """Return the pipeline run's MLflow run where a backend, or an earlier call, has named it or one nested in it."""
    import mlflow

    pod_secrets.take()
    hide_credentials()
    if kfp_run_id() and not os.environ.get("MLFLOW_TRACKING_URI"):
        raise BerthError(
            "MLFLOW_TRACKING_URI is not set in this pod. Put it into the secret that cluster.mlflow_secret names, in "
            "the namespace of the run."
        )
    client = mlflow.MlflowClient()
    # start_run consumes MLFLOW_RUN_ID and would resume the run that it names, whichever that is: hide it.
    if named := os.environ.pop("MLFLOW_RUN_ID", None):
        run = client.get_run(named)
        while outer := run.data.tags.get(tags.PARENT):
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
    found = mlflow.search_runs(
        filter_string=f"tags.`{tags.KFP_RUN_ID}` = '{pipeline_run}'", search_all_experiments=True, output_format="list"
    )
    runs = [run for run in found if tags.PARENT not in run.data.tags]
    return min(runs, key=lambda run: (run.info.start_time, run.info.run_id), default=None)


def _experiment_id(client: "MlflowClient", name: str) -> str:
    """Return the id of the experiment `name`, made if there is none: of two first runs at once, one makes it."""
    import mlflow
    from mlflow.exceptions import MlflowException

    if found := experiment_id(client, name):
        return found
    try:
        location = sqlite_store.artifact_location(mlflow.get_tracking_uri())
        return client.create_experiment(name, artifact_location=location)
    except MlflowException as error:
        if error.error_code == "RESOURCE_ALREADY_EXISTS" and (found := experiment_id(client, name)):
            return found
        raise


def experiment_id(client: "MlflowClient", name: str) -> str | None:
    """Return the id of the experiment `name`; None if there is none.

    Raises:
        BerthError: it has been deleted in MLflow.
    """
    import mlflow

    found = client.get_experiment_by_name(name)
    if found is None:
        return None
    if found.lifecycle_stage == "deleted":
        program = Path(sys.executable).with_name("mlflow")
        command = [f"MLFLOW_TRACKING_URI={mlflow.get_tracking_uri()}", str(program if program.exists() else "mlflow")]
        command += ["experiments", "restore", "--experiment-id", found.experiment_id]
        raise BerthError(f"the MLflow experiment {name!r} has been deleted. Restore it: env {shlex.join(command)}")
    return str(found.experiment_id)
