"""Commands that show runs: `berth runs`, `berth show`, `berth logs`, `berth compare`, `berth ui`."""

from typing import Annotated

import typer

from berth.errors import printable
from pipeline.cli.options import Namespace, Run, TokenFile, connect


def ui(port: Annotated[int, typer.Option(min=1, max=65535, help="The port on 127.0.0.1.")] = 5000) -> None:
    """Open the MLflow UI on the runs' store."""
    from pipeline import mlflow_store

    mlflow_store.serve_ui(port)


def runs(
    experiment: Annotated[str | None, typer.Argument(help="Show only the runs of this name.")] = None,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, help="How many, newest first.")] = 20,
    host: Annotated[str, typer.Option(help="List the runs of this cluster instead of MLflow's.")] = "",
    namespace: Namespace = "",
    token_file: TokenFile = None,
) -> None:
    """List the pipeline runs."""
    from rich.console import Console

    if host or namespace or token_file:
        from pipeline.display import cluster_runs

        Console().print(cluster_runs.runs_table(connect(host, namespace, token_file), experiment, limit))
        return

    from pipeline.display.runs import runs_table

    Console().print(runs_table(experiment, limit))


def show(
    run: Run,
    host: Annotated[str, typer.Option(help="Show a run of this cluster instead of MLflow's.")] = "",
    namespace: Namespace = "",
    token_file: TokenFile = None,
) -> None:
    """Show a run: how it ended and why, its steps, scores and links."""
    from rich.console import Console

    from pipeline.display import run_details

    if host or namespace or token_file:
        from berth.cluster_settings import Cluster
        from pipeline.cluster import runs as cluster_runs
        from pipeline.cluster.package import all_steps

        api, settings = connect(host, namespace, token_file), Cluster.model_validate({})
        found = cluster_runs.find_run(api, run)
        links = cluster_runs.kubeflow_link(api, settings, found), cluster_runs.mlflow_link(settings, found)
        Console().print(run_details.of_cluster(api, found, all_steps(), *links))
        return
    from pipeline import mlflow_store

    mlflow_store.use_tracking_uri()
    Console().print(run_details.of_mlflow(run))


def logs(
    run: Run,
    step: Annotated[str, typer.Argument(help="A step, such as train. Default: every step.")] = "",
    host: Annotated[str, typer.Option(help="A run of this cluster.")] = "",
    namespace: Namespace = "",
    token_file: TokenFile = None,
) -> None:
    """Print what the steps of a run have logged."""
    if host or namespace or token_file:
        from pipeline.cluster import pods
        from pipeline.cluster import runs as cluster_runs
        from pipeline.cluster.package import all_steps

        api = connect(host, namespace, token_file)
        found = pods.logs(api, cluster_runs.find_run(api, run), step, all_steps())
    else:
        import mlflow

        from pipeline import mlflow_store
        from pipeline.display.runs import find_run
        from pipeline.local import run_logs

        mlflow_store.use_tracking_uri()
        info = find_run(mlflow.MlflowClient(), run).info
        found = run_logs.logs(info.run_name or "", info.run_id, step)
    for name, text in found:
        if not step:
            typer.echo(f"== {name} ==")
        typer.echo("\n".join(map(printable, text.splitlines())))


def compare(
    first: Annotated[str, typer.Argument(metavar="RUN", help="The name or id of a run.")],
    second: Annotated[str, typer.Argument(metavar="RUN", help="The run to compare it with.")],
) -> None:
    """Show two runs side by side: their metrics, and the parameters that differ."""
    from rich.console import Console

    from pipeline.display.runs import comparison

    Console().print(comparison(first, second))
