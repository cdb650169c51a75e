"""Commands that show runs: `berth runs`, `berth compare`, `berth ui`."""

from typing import Annotated

import typer

from pipeline.cli.options import Namespace, TokenFile, connect


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


def compare(
    first: Annotated[str, typer.Argument(metavar="RUN", help="The name or id of a run.")],
    second: Annotated[str, typer.Argument(metavar="RUN", help="The run to compare it with.")],
) -> None:
    """Show two runs side by side: their metrics, and the parameters that differ."""
    from rich.console import Console

    from pipeline.display.runs import comparison

    Console().print(comparison(first, second))
