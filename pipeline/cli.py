"""The command line, `berth`. Exit codes: 0 done, 1 the run or its input failed, 2 bad usage, 130 interrupted."""

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from components.common.errors import BerthError, printable

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


def main() -> None:
    """Run the command line; a user's mistake ends in one line and exit code 1."""
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


@app.command()
def run(
    config: Annotated[Path, typer.Argument(help="The run configuration, a YAML file.")],
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Stream the steps' logs.")] = False,
) -> None:
    """Run the whole pipeline on this machine."""
    from rich.console import Console

    from pipeline.config import RunConfig

    run_config = RunConfig.load(config)

    from pipeline import local, terminal

    console = Console(file=sys.stdout)  # this one: kfp's own prints are sent elsewhere while a run lasts
    with terminal.TerminalReporter(console, verbose) as reporter:
        result = local.run(run_config, config, reporter)
    console.print()
    console.print(terminal.closing_table(result))
    if result.blessed:
        model = run_config.model_name
        console.print("\nTry next:", highlight=False)
        for command in (f'predict {model} "some text"', "ui", "runs"):
            console.print(f"  {_program()} {command}", highlight=False, markup=False, soft_wrap=True)


@app.command(name="compile")
def compile_pipeline(
    output: Annotated[Path, typer.Option("--output", "-o", help="Where to write it.")] = Path("pipeline.yaml"),
) -> None:
    """Write the pipeline that a Kubeflow cluster runs."""
    from pipeline import dag

    try:
        dag.write_yaml(output)
    except OSError as error:
        raise BerthError(f"{output}: cannot be written ({error.strerror}).") from None
    typer.echo(f"wrote {output}")


@app.command()
def ui(port: Annotated[int, typer.Option(min=1, max=65535, help="The port on 127.0.0.1.")] = 5000) -> None:
    """Open the MLflow UI on the runs' store."""
    from pipeline import registry

    registry.serve_ui(port)


@app.command()
def predict(
    model: Annotated[str, typer.Argument(help="NAME (its champion), NAME@ALIAS, NAME/VERSION, or a model's folder.")],
    texts: Annotated[
        list[str] | None, typer.Argument(metavar="TEXT...", help="Without any: stdin, one a line.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="A JSON object a line, with every probability.")] = False,
) -> None:
    """Print the label and its probability for each text."""
    from pipeline import registry

    lines = texts if texts else (line.rstrip("\r\n") for line in sys.stdin)
    for prediction in registry.predict(model, lines):
        if as_json:
            typer.echo(json.dumps(prediction, ensure_ascii=False))
        else:
            probability = prediction["probabilities"][prediction["label"]]
            typer.echo(f"{printable(prediction['label'])}\t{probability:.4f}\t{printable(prediction['text'])}")


@app.command()
def runs(
    experiment: Annotated[str | None, typer.Argument(help="Only the runs of this name.")] = None,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, help="How many, newest first.")] = 20,
) -> None:
    """List the pipeline runs."""
    from rich.console import Console

    from pipeline import registry

    Console().print(registry.runs_table(experiment, limit))


@schema_app.command(name="infer")
def schema_infer(
    config: Annotated[Path, typer.Argument(help="The run configuration, a YAML file.")],
    force: Annotated[bool, typer.Option("--force", help="Write over another schema.")] = False,
) -> None:
    """Write the schema of today's data to schema.pbtxt beside the configuration."""
    from pipeline import schema
    from pipeline.config import RunConfig

    run_config = RunConfig.load(config)
    typer.echo(schema.write(run_config, config.resolve().with_name("schema.pbtxt"), force))


@schema_app.command(name="diff")
def schema_diff(
    config: Annotated[Path, typer.Argument(help="The run configuration, a YAML file.")],
    other: Annotated[Path | None, typer.Argument(help="A schema file; without it, the schema of today's data.")] = None,
) -> None:
    """Say in words how the configuration's schema differs from today's data, or from another schema."""
    from pipeline import schema
    from pipeline.config import RunConfig

    changes = schema.diff(RunConfig.load(config), other)
    for change in changes or ["no difference"]:
        typer.echo(printable(change))


@config_app.command()
def docs() -> None:
    """Print the reference of the run configuration, in Markdown."""
    from pipeline.config import reference

    typer.echo(reference(), nl=False)


def _program() -> str:
    """Return how this program is called from here: by name where it is on the PATH, else by its path."""
    import os
    import shutil

    program = Path(sys.argv[0]).resolve()
    if shutil.which(program.name):
        return program.name
    return os.path.relpath(program)
