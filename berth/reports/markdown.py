"""Text from data in Markdown, for the descriptions that MLflow shows."""

import re
from collections.abc import Sequence


def escaped(text: str) -> str:
    r"""Return `text` as Markdown that shows it, and neither formats nor runs it.

    Example:
        >>> print(escaped("a *b* <i>"))
        a \*b\* &lt;i&gt;
    """
    text = " ".join(str(text).split()).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return re.sub(r"([\\`*_{}\[\]()#+!|~])", r"\\\1", text)


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Return the lines of a table; its cells are escaped, and padded, since MLflow's columns touch each other.

    Example:
        >>> table(["metric"], [["accuracy"]])
        ['| metric &nbsp; |', '| --- |', '| accuracy &nbsp; |']
    """
    lines = ["| " + " | ".join(f"{escaped(cell)} &nbsp;" for cell in row) + " |" for row in [header, *rows]]
    return [lines[0], "| --- " * len(header) + "|", *lines[1:]]
