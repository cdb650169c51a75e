"""Backend 2: the DAG on a Kubeflow cluster: submit a run, list, cancel and try again.

What a run is made of is found or made, each once: the pipeline `berth`, its version named by the hash of the compiled
bytes, and the experiment. The run's name ends in a token, so that a request whose answer was lost can be recognised.
"""

import datetime
import hashlib
import itertools
import os
import re
import secrets
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import kfp_server_api
from rich.markup import escape
from rich.table import Table

from components.common.errors import BerthError, printable
from pipeline import home
from pipeline.config import RunConfig
from pipeline.following import ENDED
from pipeline.images import LOCK, locked
from pipeline.kfp_api import Api

PIPELINE = "berth"
_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


@dataclass(frozen=True)
class Package:
    """What is sent to a cluster: the compiled pipeline, the parameters of the run, the names of its steps."""

    pipeline: bytes
    parameters: dict[str, Any]
    steps: list[str]

    @property
    def version(self) -> str:
        """The name of the pipeline's version: the same bytes have the same name."""
        return f"{PIPELINE}-{hashlib.sha256(self.pipeline).hexdigest()[:16]}"


def package(config: RunConfig, config_file: Path) -> Package:
    """Compile the pipeline with the images of ./images.lock.yaml, and check that `config` means something elsewhere.

    Raises:
        BerthError: an image is missing from images.lock.yaml, or a setting is a path of this machine.
    """
    _refuse_local_paths(config)
    images = locked(Path(LOCK))

    from pipeline import dag

    with tempfile.TemporaryDirectory(prefix="berth-submit-") as scratch:
        compiled = Path(scratch) / "pipeline.yaml"
        dag.write_yaml(compiled, images, checkpoint_claim=bool(config.cluster.checkpoint_claim))
        pipeline = compiled.read_bytes()
    parameters = config.parameters()
    parameters["source"].pop("folder", None)  # where relative paths of a query start; there are none on a cluster
    arguments = {"git_commit": home.git_commit(), "config_file": str(config_file), **parameters}
    return Package(pipeline, arguments, _steps(dag.berth.pipeline_spec))


def publish(api: Api, package: Package) -> kfp_server_api.V2beta1PipelineVersion:
    """Return the pipeline version that holds these bytes, uploaded unless it is there."""
    scope = {"namespace": api.namespace}
    pipelines = api.pipelines
    found = api.all(pipelines.pipeline_service_list_pipelines, "pipelines", name=PIPELINE, **scope)
    if not found:
        # Not the upload of a pipeline, which would name the first version after the pipeline.
        new = kfp_server_api.V2beta1Pipeline(display_name=PIPELINE, name=PIPELINE, **scope)
        found = [
            api.create(
                pipelines.pipeline_service_create_pipeline,
                lambda: api.all(pipelines.pipeline_service_list_pipelines, "pipelines", name=PIPELINE, **scope),
                pipeline=new,
            )
        ]
    pipeline_id = found[0].pipeline_id

    def versions() -> list[Any]:
        listed = pipelines.pipeline_service_list_pipeline_versions
        return api.all(listed, "pipeline_versions", name=package.version, pipeline_id=pipeline_id)

    if there := versions():
        return there[0]
    with tempfile.TemporaryDirectory(prefix="berth-submit-") as scratch:
        file = Path(scratch) / f"{package.version}.yaml"
        file.write_bytes(package.pipeline)
        return api.create(
            api.uploads.upload_pipeline_version,
            versions,
            uploadfile=str(file),
            name=package.version,
            pipelineid=pipeline_id,
            description=f"git commit {package.parameters['git_commit'] or 'unknown'}",
        )


def experiment_id(api: Api, name: str, wanted: str) -> str:
    """Return the id of the experiment to put runs of `name` in, which is made unless it is there.

    kfp's variables count as they do for kfp: one overrides what was `wanted`, the other stands in for nothing.
    """
    name = (
        os.environ.get("KF_PIPELINES_OVERRIDE_EXPERIMENT_NAME")
        or wanted
        or os.environ.get("KF_PIPELINES_DEFAULT_EXPERIMENT_NAME")
        or name
    )

    def find() -> list[Any]:
        listed = api.experiments.experiment_service_list_experiments
        return api.all(listed, "experiments", name=name, namespace=api.namespace)

    if found := find():
        return str(found[0].experiment_id)
    new = kfp_server_api.V2beta1Experiment(display_name=name, namespace=api.namespace)
    return str(api.create(api.experiments.experiment_service_create_experiment, find, experiment=new).experiment_id)


def submit(api: Api, config: RunConfig, package: Package, experiment: str = "") -> kfp_server_api.V2beta1Run:
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
        runtime_config=kfp_server_api.V2beta1RuntimeConfig(parameters=package.parameters),
        plugins_input=plugins(config),
    )
    return api.create(
        api.runs.run_service_create_run,
        lambda: api.all(api.runs.run_service_list_runs, "runs", name=name, experiment_id=experiment),
        lambda twin: api.call(api.runs.run_service_terminate_run, twin.run_id),
        run=run,
    )


def plugins(config: RunConfig) -> dict[str, Any]:
    """Return what KFP's MLflow plugin is told; a backend without it ignores that."""
    return {"mlflow": {"experiment_name": config.name}}


def kubeflow_link(api: Api, config: RunConfig, run: kfp_server_api.V2beta1Run) -> str:
    """Return where Kubeflow shows the run, as the configuration says or as far as the connection tells."""
    ui = config.cluster.kfp_ui.rstrip("/") or api.ui
    return f"{ui}/#/runs/details/{run.run_id}" if ui else f"run {run.run_id} (cluster.kfp_ui makes this a link)"


def mlflow_link(config: RunConfig, run: kfp_server_api.V2beta1Run) -> str:
    """Return where MLflow shows the run: as KFP's plugin says, else as the configuration or MLFLOW_TRACKING_URI do."""
    output = (run.plugins_output or {}).get("mlflow")
    entry = (output.entries or {}).get("run_url") if output else None
    if entry and entry.value:
        return home.redacted(str(entry.value))
    uri = config.cluster.mlflow_ui or os.environ.get("MLFLOW_TRACKING_URI", "")
    return f"{home.redacted(uri).rstrip('/')}/#/experiments" if re.match(r"https?://", uri) else ""


def runs_table(api: Api, name: str | None, limit: int) -> Table:
    """Return the cluster's newest runs as a table; with `name`, those of the experiment that is called so."""
    scope: dict[str, Any] = {"namespace": api.namespace}
    if name:
        listed = api.experiments.experiment_service_list_experiments
        found = api.all(listed, "experiments", name=name, namespace=api.namespace)
        if not found:
            raise BerthError(f"no experiment of the name {name!r} on {api.host}. Without a name, all runs are listed.")
        scope = {"experiment_id": found[0].experiment_id}
    table = Table(box=None, padding=(0, 1), pad_edge=False, header_style="dim")
    for column in ("run", "started", "took", "state"):
        table.add_column(column, no_wrap=True, overflow="fold")  # whole: `berth cancel` and `retry` are given the name
    newest = api.each(api.runs.run_service_list_runs, "runs", sort_by="created_at desc", **scope)
    for run in itertools.islice(newest, limit):
        started = f"{run.created_at.astimezone():%Y-%m-%d %H:%M}" if run.created_at else ""
        # KFP says of a run that goes on that it finished in 1970.
        took = (run.finished_at - run.created_at).total_seconds() if run.finished_at and run.created_at else -1
        cells = (run.display_name, started, f"{took:.0f} s" if took >= 0 else "", run.state or "PENDING")
        table.add_row(*(escape(printable(cell)) for cell in cells))
    return table


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
        raise BerthError(f"{run.display_name}: has ended already ({run.state}). There is nothing to cancel.")
    api.call(api.runs.run_service_terminate_run, run.run_id)
    return run


def retry(api: Api, name: str) -> kfp_server_api.V2beta1Run:
    """Go on with a run that failed: the steps that succeeded are kept."""
    run = find_run(api, name)
    if run.state not in ("FAILED", "CANCELED"):
        raise BerthError(f"{run.display_name}: is {run.state or 'PENDING'}. Only a run that failed can be tried again.")

    def goes_on() -> list[Any]:
        now = api.call(api.runs.run_service_get_run, run.run_id)
        return [now] if now.state != run.state else []

    api.create(api.runs.run_service_retry_run, goes_on, run_id=run.run_id)
    return run


def _refuse_local_paths(config: RunConfig) -> None:
    for field, value in _places(config):
        if value and "://" not in value:
            raise BerthError(
                f"{field}: {value} is a path of this machine, which the cluster's steps do not see. "
                "Use s3://, gs:// or https://."
            )
    if not config.push_to:
        raise BerthError("push_to: a cluster's steps have no folder that stays. Name one in s3:// or gs://.")


def _places(config: RunConfig) -> Iterator[tuple[str, str]]:
    """Yield every setting that says where something is; what is built in is nowhere."""
    for split, files in config.source.split_files().items():
        yield f"source.{split}" if split else "source", files
    yield "encoder", "" if config.encoder == "minilm" else config.encoder
    yield "preprocessor", config.preprocessor
    yield "push_to", config.push_to
    yield "checkpoints", config.checkpoints
    yield "evaluation.tensorflow_serving", config.evaluation.tensorflow_serving


def _steps(spec: Any) -> list[str]:
    """Return the names of the pipeline's steps, without the conditions and the groups that KFP has beside them."""
    dags = [spec.root.dag, *(component.dag for component in spec.components.values())]
    return [
        task.task_info.name
        for dag in dags
        for task in dag.tasks.values()
        if spec.components[task.component_ref.name].executor_label
    ]
