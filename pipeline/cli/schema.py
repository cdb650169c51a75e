"""Commands about the schema of the data: `berth schema infer`, `berth schema diff`."""

from pathlib import Path
from typing import Annotated

import typer

from berth.errors import printable
from pipeline.cli.options import Config

commands = typer.Typer(
    help="The schema that validate checks the data against, as a file to review.", no_args_is_help=True
)


@commands.command()
def infer(
    config: Config,
    force: Annotated[bool, typer.Option("--force", help="Overwrite another schema.")] = False,
) -> None:
    """Write the schema of today's data to schema.pbtxt, next to the configuration."""
    from pipeline.config.run_config import RunConfig
    from pipeline.local import schema

    run_config = RunConfig.load(config)
    typer.echo(schema.write(run_config, config.resolve().with_name("schema.pbtxt"), force))


@commands.command()
def diff(
    config: Config,
    other: Annotated[Path | None, typer.Argument(help="A schema file. Default: the schema of today's data.")] = None,
) -> None:
    """Explain how the configuration's schema differs from today's data, or from another schema."""
    from pipeline.config.run_config import RunConfig
    from pipeline.local import schema

    changes = schema.diff(RunConfig.load(config), other)
    for change in changes or ["no difference"]:
        typer.echo(printable(change))
