"""The package that is sent to a cluster: the compiled pipeline and the parameters of a run."""

import dataclasses
import hashlib
import json
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from berth import pod_secrets
from berth.data.source import Source
from berth.errors import BerthError
from berth.settings import ENVIRONMENT
from pipeline import checkout
from pipeline.config.pipeline_config import PipelineConfig
from pipeline.image_lock import LOCK, locked

if TYPE_CHECKING:
    from kfp.pipeline_spec import pipeline_spec_pb2

PIPELINES = {"training": "berth", "pretraining": "berth-pretraining"}
"""The names that the pipelines have on a cluster."""
_LONGEST = 60_000
"""Bytes of a run's parameters: KFP passes them, and more, in one argument of a process; Linux takes 128 KiB."""
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_DUMPER = getattr(yaml, "CSafeDumper", yaml.SafeDumper)


@dataclass(frozen=True)
class Package:
    """What is sent to a cluster: the compiled pipeline, the parameters of the run, the names of its steps."""

    name: str
    """The pipeline's."""
    pipeline: bytes
    parameters: dict[str, Any]
    steps: list[str]

    def pinned(self) -> "Package":
        """Return the package with its parameters as the pipeline's defaults.

        A schedule's runs get no parameters from a KFP that lets its plugins look at each run.
        """
        documents = list(yaml.load_all(self.pipeline, Loader=_LOADER))
        for name, value in self.parameters.items():
            documents[0]["root"]["inputDefinitions"]["parameters"][name] |= {"defaultValue": value, "isOptional": True}
        text = yaml.dump_all(documents, Dumper=_DUMPER, sort_keys=True, allow_unicode=True, width=120)
        return dataclasses.replace(self, pipeline=text.encode())

    @property
    def version(self) -> str:
        """The name of the pipeline's version: the same bytes have the same name."""
        return f"{self.name}-{hashlib.sha256(self.pipeline).hexdigest()[:16]}"


def make_package(config: PipelineConfig, config_file: Path) -> Package:
    """Compile the pipeline with the images of ./images.lock.yaml, and check that `config` has no path of this machine.

    Raises:
        BerthError: an image is missing from images.lock.yaml, or a setting is a path of this machine.
    """
    _check_no_local_paths(config)
    probe = getattr(config, "probe", None)
    for source in (config.source, getattr(config, "corrections", None), probe and probe.source):
        if source:
            _check_variables(source)
    images = locked(Path(LOCK))

    from pipeline.dags import compiler

    with tempfile.TemporaryDirectory(prefix="berth-submit-") as scratch:
        compiled = Path(scratch) / "pipeline.yaml"
        compiler.write_yaml(compiled, images, config.cluster, config.kind)
        pipeline = compiled.read_bytes()
    parameters = config.parameters()
    for source in (parameters["source"], parameters.get("probe", {}).get("source", {})):
        source.pop("folder", None)  # where relative paths of a query start; there are none on a cluster
    arguments = {"git_commit": checkout.git_commit(), "config_file": str(config_file), **parameters}
    _check_size(arguments)
    return Package(PIPELINES[config.kind], pipeline, arguments, step_names(config.kind))


def _check_no_local_paths(config: PipelineConfig) -> None:
    for field, value in config.places():
        if value and "://" not in value and not value.startswith(ENVIRONMENT):
            raise BerthError(
                f"{field}: {value} is a path of this machine, which the cluster's steps do not see. "
                "Use s3://, gs:// or https://."
            )
    if not config.push_to:
        raise BerthError("push_to: a cluster's steps have no folder that stays. Name one in s3:// or gs://.")


def _check_size(arguments: dict[str, object]) -> None:
    sizes = {name: len(json.dumps(value)) for name, value in arguments.items()}
    if sum(sizes.values()) > _LONGEST:
        largest = max(sizes, key=lambda name: sizes[name])
        raise BerthError(
            f"{largest}: {sizes[largest]:,} bytes. All settings together may have {_LONGEST:,}, because KFP passes "
            "them to a step in one argument. Make it smaller."
        )


def _check_variables(source: Source) -> None:
    for text in (*source.split_files().values(), source.connection):
        if text.startswith(ENVIRONMENT) and text.removeprefix(ENVIRONMENT) not in pod_secrets.ADDRESSES:
            raise BerthError(
                f"source: {text} is not among the variables that a cluster's steps have from cluster.store_secret. "
                f"Use one of them: {', '.join(pod_secrets.ADDRESSES)}."
            )


def all_steps() -> list[str]:
    """Return the names of the steps of every pipeline: KFP's API does not tell which one a run is of."""
    return list(dict.fromkeys(step for kind in PIPELINES for step in step_names(kind)))


def step_names(kind: str = "training") -> list[str]:
    """Return the names of the pipeline's steps, as KFP has them: with dashes."""
    from pipeline.dags.pipelines import pipeline_of

    return _steps(pipeline_of(kind).pipeline_spec)


def _steps(spec: "pipeline_spec_pb2.PipelineSpec") -> list[str]:
    """Return the names of the pipeline's steps, without KFP's conditions and groups."""
    dags = [spec.root.dag, *(component.dag for component in spec.components.values())]
    return [
        task.task_info.name
        for dag in dags
        for task in dag.tasks.values()
        if spec.components[task.component_ref.name].executor_label
    ]
