"""Commands about registered models: predict, fill, models, rollback and promote."""

import json
import re
import sys
from typing import Annotated, Any

import typer
from typer.core import TyperCommand

from berth.errors import nearest, printable
from pipeline.cli.options import RegisteredModel

_WORDS = 8
"""Most words of an explanation; --json has all."""


class PredictCommand(TyperCommand):
    """The command `berth predict`: a text may begin with a dash, unless it is one word, which looks like an option."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        ctx.ignore_unknown_options = True
        known = [option for parameter in self.get_params(ctx) for option in parameter.opts if option.startswith("-")]
        for word in args[: args.index("--")] if "--" in args else args:
            name = word.partition("=")[0]
            if re.fullmatch(r"--?[A-Za-z][\w-]*", name) and name not in known:
                raise typer.BadParameter(
                    f"no such option: {word}.{nearest(name, known)} Put -- before texts that begin with a dash.", ctx
                )
        return super().parse_args(ctx, args)


def predict(
    model: Annotated[str, typer.Argument(help="NAME (its champion), NAME@ALIAS, NAME/VERSION, or a model's folder.")],
    texts: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="TEXT...",
            help="Default: standard input, a text per line. Pairs: separated by a tab. Put -- before a word that "
            "begins with a dash.",
        ),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print a JSON object per line, with every probability.")
    ] = False,
    explain: Annotated[
        bool, typer.Option("--explain", help="Also print the words that the model used, and what each did.")
    ] = False,
) -> None:
    """Print the label and its probability for each text."""
    from pipeline.local import predict

    lines = texts if texts else (line.rstrip("\r\n") for line in sys.stdin)
    for prediction in predict.predict(model, lines, explain):
        if as_json:
            typer.echo(json.dumps(prediction, ensure_ascii=False))
        else:
            typer.echo(prediction_line(prediction))
            if explain:
                typer.echo(explanation_line(prediction["explanation"]))


def fill(
    encoder: Annotated[
        str, typer.Argument(help="NAME (its champion), NAME@ALIAS, NAME/VERSION, or an encoder's folder.")
    ],
    texts: Annotated[list[str], typer.Argument(metavar="TEXT...", help="Texts with [MASK] in place of a word.")],
    count: Annotated[int, typer.Option("--count", "-n", min=1, help="How many words for each [MASK].")] = 5,
) -> None:
    """Print the words that a pre-trained encoder finds likeliest for each [MASK]."""
    from pipeline.local import fill

    for text, places in fill.fill(encoder, texts, count):
        for number, words in enumerate(places, 1):
            if len(texts) > 1 or len(places) > 1:
                typer.echo(printable(f"{text}  ([MASK] {number} of {len(places)})"))
            for word, probability in words:
                typer.echo(f"{probability:.4f}\t{printable(word)}")


def models(
    model: Annotated[str | None, typer.Argument(help="The name of a registered model. Default: all models.")] = None,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, help="How many versions, newest first.")] = 20,
) -> None:
    """List the registered models, or the versions of one."""
    from rich.console import Console

    from pipeline.display.models import models_table, versions_table

    Console().print(models_table() if model is None else versions_table(model, limit))


def rollback(
    model: RegisteredModel,
    to: Annotated[int | None, typer.Option(min=1, metavar="VERSION", help="Default: the previous champion.")] = None,
    reason: Annotated[str, typer.Option(help="Why; it is stored with the versions.")] = "",
) -> None:
    """Make an earlier champion the champion again: alias and serving folder move together, nothing is destroyed."""
    from pipeline.display.models import rollback as roll_back

    for line in roll_back(model, to, reason):
        typer.echo(printable(line))


def promote(
    model: RegisteredModel,
    version: Annotated[int, typer.Argument(min=1, help="The version to promote, blessed or not.")],
    reason: Annotated[str, typer.Option(help="Why; it is stored with the versions.")],
) -> None:
    """Make a version the champion by hand: alias and serving folder move together."""
    from pipeline.display.models import promote as make_champion

    for line in make_champion(model, version, reason):
        typer.echo(printable(line))


def prediction_line(prediction: dict[str, Any]) -> str:
    """Return label, probability and text, separated by tabs; several labels by commas; a dash stands for no label."""
    label, probabilities = prediction["label"], prediction["probabilities"]
    labels = label if isinstance(label, list) else [label] if label else []
    shown = ", ".join(labels) or "-"
    values = ", ".join(f"{probabilities[own]:.4f}" for own in labels) or "-"
    return f"{printable(shown)}\t{values}\t{printable(prediction['text'])}"


def explanation_line(explanation: dict[str, Any] | None) -> str:
    """Return the label that was explained and the heaviest words, each with what it did to the label's log odds."""
    if explanation is None:
        return "  no words: the model's tokens are not those of the text's words"
    shown = "  ".join(f"{own['word']} {own['weight']:+.2f}" for own in explanation["words"][:_WORDS])
    note = "" if explanation["complete"] else " (the words' weights do not sum to what they did together)"
    return printable(f"  {explanation['label']}: {shown or '-'}{note}")
