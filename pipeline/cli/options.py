"""Options and arguments that several commands share."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from pipeline.cluster.api import Api

Config = Annotated[Path, typer.Argument(help="The run configuration, a YAML file.")]
Host = Annotated[
    str, typer.Option(help="The cluster's KFP API. Default: KF_PIPELINES_ENDPOINT, the pod or the kubeconfig.")
]
Namespace = Annotated[str, typer.Option(help="Your namespace, if the installation has several users.")]
TokenFile = Annotated[
    Path | None, typer.Option(help="A file that holds a bearer token; it is read again for each request.")
]
Experiment = Annotated[str, typer.Option(help="The KFP experiment. Default: the configuration's name.")]
Run = Annotated[str, typer.Argument(metavar="RUN", help="The name or id of a run.")]
Local = Annotated[bool, typer.Option("--local", help="On this machine, in this folder, instead of on a cluster.")]
Name = Annotated[str, typer.Argument(metavar="SCHEDULE", help="The name of a schedule.")]
RegisteredModel = Annotated[str, typer.Argument(help="The name of a registered model.")]


def connect(host: str, namespace: str, token_file: Path | None) -> "Api":
    """Return a connection to the KFP API that the three options name.

    Raises:
        BerthError: no cluster is found, or it refuses.
    """
    from pipeline.cluster.api import Access, connect

    return connect(Access(host, namespace, token_file))
