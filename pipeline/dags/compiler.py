"""Compile a pipeline to KFP's IR."""

import tempfile
from pathlib import Path
from typing import Any

import yaml
from kfp import compiler

from berth.cluster_settings import Cluster
from pipeline.dags.pipelines import pipeline_of

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""libyaml's, which takes a tenth of the time, where PyYAML was built with it."""


def write_yaml(
    path: Path, images: dict[str, str] | None = None, cluster: Cluster | None = None, kind: str = "training"
) -> None:
    """Compile the pipeline `kind` to the pipeline IR at `path`; the same code gives the same bytes.

    `images` has the reference to put in the place of each image's name; without it the names stay. `cluster` is
    as in `build`; without it nothing is compiled in.

    kfp writes the keys of a dict's default in an order that changes from process to process; here they are sorted.
    """
    with tempfile.TemporaryDirectory(prefix="berth-compile-") as scratch:
        compiled = Path(scratch) / "pipeline.yaml"
        compiler.Compiler().compile(pipeline_of(kind, cluster), str(compiled))
        documents = read(compiled.read_text(encoding="utf-8"))
    for document in documents:
        for executor in document.get("deploymentSpec", {}).get("executors", {}).values():
            image = executor["container"]["image"]
            executor["container"]["image"] = images[image] if images else image
    text = yaml.safe_dump_all(documents, sort_keys=True, allow_unicode=True, width=120)
    path.write_text(
        f"# Written by `berth compile`; docs/configuration.md explains the parameters.\n{text}", encoding="utf-8"
    )


def read(compiled: str) -> list[dict[str, Any]]:
    """Return the documents of a compiled pipeline: the pipeline, and what it needs of Kubernetes."""
    return list(yaml.load_all(compiled, Loader=_LOADER))
