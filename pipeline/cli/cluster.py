"""Commands about runs on a cluster: `berth submit`, `berth cancel`, `berth retry`."""

import sys
from typing import Annotated

import typer

from berth.errors import printable
from pipeline.cli.options import Config, Experiment, Host, Namespace, Run, TokenFile, connect


def submit(
    config: Config,
    host: Host = "",
    namespace: Namespace = "",
    experiment: Experiment = "",
    token_file: TokenFile = None,
    wait: Annotated[bool, typer.Option("--wait", help="Follow the steps until the run has ended.")] = False,
    fail_if_not_blessed: Annotated[
        bool,
        typer.Option("--fail-if-not-blessed", help="With --wait: exit with 3 if the model does not pass its gates."),
    ] = False,
) -> None:
    """Run the pipeline on a Kubeflow cluster."""
    from pipeline.config.load import load

    if fail_if_not_blessed and not wait:
        raise typer.BadParameter("the verdict is known with --wait only", param_hint="--fail-if-not-blessed")
    run_config = load(config)

    from rich.console import Console

    from pipeline.cluster import follow, runs, secrets_check
    from pipeline.cluster.package import make_package
    from pipeline.display import cluster_runs

    package = make_package(run_config, config)
    api = connect(host, namespace, token_file)
    secrets_check.check(api, run_config)
    run = runs.submit(api, run_config, package, experiment)
    typer.echo(f"run {run.display_name}, version {package.version}")
    typer.echo(f"kubeflow  {runs.kubeflow_link(api, run_config.cluster, run)}")
    if link := runs.mlflow_link(run_config.cluster, run):
        typer.echo(f"mlflow    {printable(link)}")
    if not wait:
        return
    try:
        verdict = follow.follow(api, run.run_id, package.steps, cluster_runs.StepLines(Console(file=sys.stdout)))
    except KeyboardInterrupt:
        typer.echo(f"the run continues; 'berth cancel {run.display_name}' stops it", err=True)
        raise
    typer.echo(f"verdict   {verdict}")
    if verdict == "NOT BLESSED" and fail_if_not_blessed:
        raise typer.Exit(3)


def cancel(run: Run, host: Host = "", namespace: Namespace = "", token_file: TokenFile = None) -> None:
    """Stop a run on a cluster."""
    from pipeline.cluster import runs

    stopped = runs.cancel(connect(host, namespace, token_file), run)
    typer.echo(printable(f"{stopped.display_name}: is being cancelled"))


def retry(run: Run, host: Host = "", namespace: Namespace = "", token_file: TokenFile = None) -> None:
    """Continue a failed run on a cluster; the steps that succeeded are kept."""
    from pipeline.cluster import runs

    api = connect(host, namespace, token_file)
    again = runs.retry(api, run)
    typer.echo(printable(f"{again.display_name}: continues"))
