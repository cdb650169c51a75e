"""The command line, `berth`.

Exit codes: 0 done, 1 the run or its input failed, 2 bad usage, 3 `berth run --fail-if-not-blessed` ended without a
blessed model (a run that found nothing new is no refusal: 0), 130 interrupted.
"""

import json
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from berth.errors import BerthError, printable
from pipeline.cli import cluster

app = typer.Typer(
    help="Fine-tune BERT text classifiers as a Kubeflow pipeline; every run is an MLflow run.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
config_app = typer.Typer(help="The run configuration.", no_args_is_help=True)
app.add_typer(config_app, name="config")
schema_app = typer.Typer(help="The schema that validate holds the data to, a file for review.", no_args_is_help=True)
app.add_typer(schema_app, name="schema")
encoders_app = typer.Typer(help="The encoders and preprocessors in this user's cache.", no_args_is_help=True)
app.add_typer(encoders_app, name="encoders")


class Runner(StrEnum):
    """The choices of `berth run --runner`."""

    ENVIRONMENTS = "environments"
    DOCKER = "docker"


def main() -> None:
    """Run the command line; a user's mistake, or MLflow's refusal, ends in one line and exit code 1."""
    try:
        app()
    except BerthError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        sys.exit(130)
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(1)
    except Exception as error:
        if "mlflow" not in sys.modules:
            raise
        from pipeline import mlflow_store

        refusal = mlflow_store.refusal(error)
        if refusal is None:
            raise
        print(f"error: {refusal}", file=sys.stderr)
        sys.exit(1)


@app.command()
def run(
    config: Annotated[Path, typer.Argument(help="The run configuration, a YAML file.")],
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Stream the steps' logs.")] = False,
    fail_if_not_blessed: Annotated[
        bool, typer.Option("--fail-if-not-blessed", help="Exit with 3 if the model does not hold its gates.")
    ] = False,
    scheduled: Annotated[
        bool, typer.Option("--scheduled", help="Nothing new ends the run, unless the file says on_unchanged.")
    ] = False,
    runner: Annotated[
        Runner, typer.Option(help="Where steps run: in the images' local environments, or in containers of the images.")
    ] = Runner.ENVIRONMENTS,
) -> None:
    """Run the whole pipeline on this machine."""
    from rich.console import Console

    from pipeline.config.run_config import RunConfig

    run_config = RunConfig.load(config)
    if scheduled:
        run_config = run_config.as_scheduled()

    from pipeline.display import run_progress
    from pipeline.local import backend

    console = Console(file=sys.stdout)  # this one: kfp's own prints are sent elsewhere while a run lasts
    with run_progress.TerminalReporter(console, verbose) as reporter:
        result = backend.run(run_config, config, reporter, in_containers=runner == Runner.DOCKER)
    console.print()
    console.print(run_progress.closing_table(result))
    if result.blessed:
        model = run_config.model_name
        console.print("\nTry next:", highlight=False)
        for command in (f'predict {model} "some text"', "ui", "runs"):
            console.print(f"  {_program()} {command}", highlight=False, markup=False, soft_wrap=True)
    elif fail_if_not_blessed:
        from pipeline.display import runs

        if not runs.verdict(result.run_id).startswith("UNCHANGED"):
            raise typer.Exit(3)


@app.command(name="compile")
def compile_pipeline(
    output: Annotated[Path, typer.Option("--output", "-o", help="Where to write it.")] = Path("pipeline.yaml"),
    images: Annotated[
        Path | None, typer.Option(help="The images by digest. Without it: ./images.lock.yaml, or names alone.")
    ] = None,
) -> None:
    """Write the pipeline that a Kubeflow cluster runs."""
    from pipeline.dags import compiler
    from pipeline.image_lock import LOCK, locked

    lock = images or Path(LOCK)
    references = locked(lock) if images or lock.exists() else None
    try:
        compiler.write_yaml(output, references)
    except OSError as error:
        raise BerthError(f"{output}: cannot be written ({error.strerror}).") from None
    typer.echo(f"wrote {output}" + (f" with the images of {lock}" if references else ""))


@app.command()
def ui(port: Annotated[int, typer.Option(min=1, max=65535, help="The port on 127.0.0.1.")] = 5000) -> None:
    """Open the MLflow UI on the runs' store."""
    from pipeline import mlflow_store

    mlflow_store.serve_ui(port)


@app.command()
def predict(
    model: Annotated[str, typer.Argument(help="NAME (its champion), NAME@ALIAS, NAME/VERSION, or a model's folder.")],
    texts: Annotated[
        list[str] | None,
        typer.Argument(metavar="TEXT...", help="Without any: stdin, one a line. Pairs: a tab between."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="A JSON object a line, with every probability.")] = False,
) -> None:
    """Print the label and its probability for each text."""
    from pipeline.local import predict

    lines = texts if texts else (line.rstrip("\r\n") for line in sys.stdin)
    for prediction in predict.predict(model, lines):
        if as_json:
            typer.echo(json.dumps(prediction, ensure_ascii=False))
        else:
            typer.echo(_line(prediction))


@app.command()
def runs(
    experiment: Annotated[str | None, typer.Argument(help="Only the runs of this name.")] = None,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, help="How many, newest first.")] = 20,
    host: Annotated[str, typer.Option(help="List the runs of this cluster instead of MLflow's.")] = "",
    namespace: cluster.Namespace = "",
    token_file: cluster.TokenFile = None,
) -> None:
    """List the pipeline runs."""
    if host or namespace or token_file:
        cluster.runs(experiment, limit, host, namespace, token_file)
        return

    from rich.console import Console

    from pipeline.display.runs import runs_table

    Console().print(runs_table(experiment, limit))


@app.command()
def compare(
    first: Annotated[str, typer.Argument(metavar="RUN", help="The name or id of a run.")],
    second: Annotated[str, typer.Argument(metavar="RUN", help="The run to hold against it.")],
) -> None:
    """Show two runs side by side: their metrics, and the parameters that differ."""
    from rich.console import Console

    from pipeline.display.runs import comparison

    Console().print(comparison(first, second))


@app.command()
def models(
    model: Annotated[str | None, typer.Argument(help="The name of a registered model; without it: all.")] = None,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, help="How many versions, newest first.")] = 20,
) -> None:
    """List the registered models, or the versions of one."""
    from rich.console import Console

    from pipeline.display.models import models_table, versions_table

    Console().print(models_table() if model is None else versions_table(model, limit))


@app.command()
def rollback(
    model: Annotated[str, typer.Argument(help="The name of a registered model.")],
    to: Annotated[int | None, typer.Option(min=1, metavar="VERSION", help="Without it: the previous champion.")] = None,
    reason: Annotated[str, typer.Option(help="Why; it is kept with the versions.")] = "",
) -> None:
    """Make an earlier champion the champion again: alias and serving folder move together, nothing is destroyed."""
    from pipeline.display.models import rollback as roll_back

    for line in roll_back(model, to, reason):
        typer.echo(printable(line))


@app.command()
def promote(
    model: Annotated[str, typer.Argument(help="The name of a registered model.")],
    version: Annotated[int, typer.Argument(min=1, help="The version to promote, blessed or not.")],
    reason: Annotated[str, typer.Option(help="Why; it is kept with the versions.")],
) -> None:
    """Make a version the champion by hand: alias and serving folder move together."""
    from pipeline.display.models import promote as make_champion

    for line in make_champion(model, version, reason):
        typer.echo(printable(line))


for command in (cluster.submit, cluster.cancel, cluster.retry, cluster.schedule):
    app.command()(command)
app.add_typer(cluster.schedules_app, name="schedules")
app.command(name="scheduler")(cluster.serve)


@schema_app.command(name="infer")
def schema_infer(
    config: Annotated[Path, typer.Argument(help="The run configuration, a YAML file.")],
    force: Annotated[bool, typer.Option("--force", help="Write over another schema.")] = False,
) -> None:
    """Write the schema of today's data to schema.pbtxt beside the configuration."""
    from pipeline.config.run_config import RunConfig
    from pipeline.local import schema

    run_config = RunConfig.load(config)
    typer.echo(schema.write(run_config, config.resolve().with_name("schema.pbtxt"), force))


@schema_app.command(name="diff")
def schema_diff(
    config: Annotated[Path, typer.Argument(help="The run configuration, a YAML file.")],
    other: Annotated[Path | None, typer.Argument(help="A schema file; without it, the schema of today's data.")] = None,
) -> None:
    """Say in words how the configuration's schema differs from today's data, or from another schema."""
    from pipeline.config.run_config import RunConfig
    from pipeline.local import schema

    changes = schema.diff(RunConfig.load(config), other)
    for change in changes or ["no difference"]:
        typer.echo(printable(change))


@encoders_app.command(name="list")
def list_encoders() -> None:
    """List what is in the cache."""
    from rich.console import Console

    from pipeline.display import encoders

    Console().print(encoders.table())


@encoders_app.command(name="add")
def add_encoder(
    handle: Annotated[str, typer.Argument(help="A tfhub.dev or Kaggle URL, an https .tar.gz, gs:// or s3://.")],
    sha256: Annotated[str, typer.Option(help="Of the archive; another one is refused.")] = "",
) -> None:
    """Fetch an encoder or a preprocessor into the cache, and see that it is one."""
    from pipeline.local import encoders

    for line in encoders.add(handle, sha256):
        typer.echo(printable(line))


@encoders_app.command(name="verify")
def verify_encoders(
    name: Annotated[str | None, typer.Argument(help="A name or a handle out of the list; without it: all.")] = None,
) -> None:
    """Hash what is in the cache, load it, and say what it takes and gives."""
    from pipeline.local import encoders

    for line in encoders.verify(name):
        typer.echo(printable(line))


@config_app.command()
def docs() -> None:
    """Print the reference of the run configuration, in Markdown."""
    from pipeline.config.reference import reference

    typer.echo(reference(), nl=False)


def _line(prediction: dict[str, Any]) -> str:
    """Return label, probability and text with tabs between; of several labels, with commas; of none, dashes."""
    label, probabilities = prediction["label"], prediction["probabilities"]
    labels = label if isinstance(label, list) else [label]
    shown = ", ".join(labels) or "-"
    values = ", ".join(f"{probabilities[own]:.4f}" for own in labels) or "-"
    return f"{printable(shown)}\t{values}\t{printable(prediction['text'])}"


def _program() -> str:
    """Return how this program is called from here: by name where it is on the PATH, else by its path."""
    import os
    import shutil

    program = Path(sys.argv[0]).resolve()
    if shutil.which(program.name):
        return program.name
    return os.path.relpath(program)
