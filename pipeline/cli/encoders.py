"""Commands about the cache of encoders: `berth encoders list`, `add`, `verify`."""

from typing import Annotated

import typer

from berth.errors import printable

commands = typer.Typer(help="The encoders and preprocessors in this user's cache.", no_args_is_help=True)


@commands.command(name="list")
def list_encoders() -> None:
    """List what is in the cache."""
    from rich.console import Console

    from pipeline.display import encoders

    Console().print(encoders.table())


@commands.command()
def add(
    handle: Annotated[
        str,
        typer.Argument(
            help="A tfhub.dev or Kaggle URL, an https .tar.gz, gs:// or s3://; models:/NAME@champion, an encoder of "
            "berth pretrain; or a folder of a Hugging Face BERT."
        ),
    ],
    sha256: Annotated[str, typer.Option(help="The archive's SHA-256; any other archive is refused.")] = "",
    name: Annotated[str, typer.Option(help="What the list calls the folder. Default: its own name.")] = "",
) -> None:
    """Download an encoder or a preprocessor into the cache, or convert a checkpoint, and check that it loads."""
    from pipeline.local import encoders

    for line in encoders.add(handle, sha256, name):
        typer.echo(printable(line))


@commands.command()
def verify(
    name: Annotated[str | None, typer.Argument(help="A name or a handle from the list. Default: all.")] = None,
) -> None:
    """Hash what is in the cache, load it, and print its inputs and outputs."""
    from pipeline.local import encoders

    for line in encoders.verify(name):
        typer.echo(printable(line))
