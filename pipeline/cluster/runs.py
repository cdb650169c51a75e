"""Runs on a Kubeflow cluster: submit, cancel and try again.

What a run is made of is found or made, each once: the pipeline `berth`, its version named by the hash of the compiled
bytes, and the experiment. The run's name ends in a token, so that a request whose answer was lost can be recognised.
"""

import datetime
import os
import re
import secrets

import kfp_server_api

from berth.cluster_settings import Cluster
from berth.errors import BerthError
from pipeline import mlflow_store
from pipeline.cluster.api import Api
from pipeline.cluster.follow import ENDED, state_of
from pipeline.cluster.package import Package
from pipeline.cluster.publish import experiment_id, plugins, publish, runtime_config
from pipeline.config.pipeline_config import PipelineConfig

_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def submit(api: Api, config: PipelineConfig, package: Package, experiment: str = "") -> kfp_server_api.V2beta1Run:
    """Start a run of `package` and return it."""
    experiment = experiment_id(api, config.name, experiment)
    version = publish(api, package)
    started = datetime.datetime.now().strftime("%Y%m%d-%H%M%S")
    name = f"{config.name}-{started}-{secrets.token_hex(3)}"
    run = kfp_server_api.V2beta1Run(
        display_name=name,
        experiment_id=experiment,
        pipeline_version_reference=kfp_server_api.V2beta1PipelineVersionReference(
            pipeline_id=version.pipeline_id, pipeline_version_id=version.pipeline_version_id
        ),
        runtime_config=runtime_config(config, package),
        service_account=config.cluster.service_account or None,
        plugins_input=plugins(config),
    )
    return api.create(
        api.runs.run_service_create_run,
        lambda: api.all(api.runs.run_service_list_runs, "runs", name=name, experiment_id=experiment),
        lambda twin: _terminate(api, twin),
        run=run,
    )


def kubeflow_link(api: Api, settings: Cluster, run: kfp_server_api.V2beta1Run) -> str:
    """Return where Kubeflow shows the run, as the configuration says or as far as the connection tells."""
    ui = settings.kfp_ui.rstrip("/") or api.ui
    return f"{ui}/#/runs/details/{run.run_id}" if ui else f"run {run.run_id} (cluster.kfp_ui makes this a link)"


def mlflow_link(settings: Cluster, run: kfp_server_api.V2beta1Run) -> str:
    """Return where MLflow shows the run: as KFP's plugin says, else as the configuration or MLFLOW_TRACKING_URI do."""
    output = (run.plugins_output or {}).get("mlflow")
    entry = (output.entries or {}).get("run_url") if output else None
    if entry and entry.value:
        return mlflow_store.redacted(str(entry.value))
    uri = settings.mlflow_ui or os.environ.get("MLFLOW_TRACKING_URI", "")
    return f"{mlflow_store.redacted(uri).rstrip('/')}/#/experiments" if re.match(r"https?://", uri) else ""


def find_run(api: Api, name: str) -> kfp_server_api.V2beta1Run:
    """Return the run of this id, or the newest of this name."""
    if _ID.fullmatch(name):
        return api.call(api.runs.run_service_get_run, name)
    scope = {"namespace": api.namespace, "sort_by": "created_at desc"}
    found = next(api.each(api.runs.run_service_list_runs, "runs", name=name, **scope), None)
    if found is None:
        raise BerthError(f"no run has the name or id {name!r} on {api.host}. 'berth runs --host ...' lists them.")
    return found


def cancel(api: Api, name: str) -> kfp_server_api.V2beta1Run:
    """Stop a run that goes on."""
    run = find_run(api, name)
    if run.state in ENDED:
        raise BerthError(f"{run.display_name}: has ended already ({state_of(run)}). There is nothing to cancel.")
    if run.state != "CANCELING":
        _terminate(api, run)
    return run


def _terminate(api: Api, run: kfp_server_api.V2beta1Run) -> None:
    """Stop the run; KFP refuses to stop one that it stops already, as after a request whose answer was lost."""
    try:
        api.call(api.runs.run_service_terminate_run, run.run_id)
    except BerthError:
        now = api.call(api.runs.run_service_get_run, run.run_id)
        if now.state not in ("CANCELING", *ENDED):
            raise


def retry(api: Api, name: str) -> kfp_server_api.V2beta1Run:
    """Go on with a run that failed: the steps that succeeded are kept."""
    run = find_run(api, name)
    if run.state not in ("FAILED", "CANCELED"):
        raise BerthError(f"{run.display_name}: is {run.state or 'PENDING'}. Only a run that failed can be tried again.")

    def goes_on() -> list[kfp_server_api.V2beta1Run]:
        now = api.call(api.runs.run_service_get_run, run.run_id)
        return [now] if now.state != run.state else []

    api.create(api.runs.run_service_retry_run, goes_on, run_id=run.run_id)
    return run
