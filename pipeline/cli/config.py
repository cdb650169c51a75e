"""The command about the run configuration: `berth config docs`."""

import typer

commands = typer.Typer(help="The run configuration.", no_args_is_help=True)


@commands.command()
def docs() -> None:
    """Print the reference of the run configuration, in Markdown."""
    from pipeline.config.reference import reference

    typer.echo(reference(), nl=False)
