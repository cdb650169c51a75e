"""Pipeline versions and experiments on a cluster, each found or made once."""

import os
import tempfile
from pathlib import Path

import kfp_server_api

from pipeline.cluster.api import Api
from pipeline.cluster.package import Package
from pipeline.config.pipeline_config import PipelineConfig


def publish(api: Api, package: Package) -> kfp_server_api.V2beta1PipelineVersion:
    """Return the pipeline version that holds these bytes, uploaded unless it is there."""
    scope = {"namespace": api.namespace}
    pipelines = api.pipelines
    found = api.all(pipelines.pipeline_service_list_pipelines, "pipelines", name=package.name, **scope)
    if not found:
        # Not the upload of a pipeline, which would name the first version after the pipeline.
        new = kfp_server_api.V2beta1Pipeline(display_name=package.name, name=package.name, **scope)
        found = [
            api.create(
                pipelines.pipeline_service_create_pipeline,
                lambda: api.all(pipelines.pipeline_service_list_pipelines, "pipelines", name=package.name, **scope),
                pipeline=new,
            )
        ]
    pipeline_id = found[0].pipeline_id

    def versions() -> list[kfp_server_api.V2beta1PipelineVersion]:
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

    def find() -> list[kfp_server_api.V2beta1Experiment]:
        listed = api.experiments.experiment_service_list_experiments
        return api.all(listed, "experiments", name=name, namespace=api.namespace)

    if found := find():
        return str(found[0].experiment_id)
    new = kfp_server_api.V2beta1Experiment(display_name=name, namespace=api.namespace)
    return str(api.create(api.experiments.experiment_service_create_experiment, find, experiment=new).experiment_id)


def runtime_config(config: PipelineConfig, package: Package) -> kfp_server_api.V2beta1RuntimeConfig:
    """Return the parameters of a run, and where KFP keeps its artifacts."""
    root = config.cluster.pipeline_root or None
    return kfp_server_api.V2beta1RuntimeConfig(parameters=package.parameters, pipeline_root=root)


def plugins(config: PipelineConfig) -> dict[str, object]:
    """Return what KFP's MLflow plugin is told; a backend without it ignores that."""
    return {"mlflow": {"experiment_name": config.name}}
