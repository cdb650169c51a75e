"""Tables on the terminal in one style: no lines, dim headers, a space between columns.

    table = tables.new(tables.whole("run"), tables.words("result"), tables.number("accuracy"))
    tables.add(table, run.name, verdict, "0.9871")

Headers and cells are text and never markup, so that text from data cannot style or steer a terminal.
"""

from rich.style import Style
from rich.table import Column, Table
from rich.text import Text

from berth.errors import printable


def whole(header: str) -> Column:
    """Return a column whose cells stay on one line: names to copy into a command, and times."""
    return Column(Text(printable(header)), no_wrap=True, overflow="fold")


def words(header: str, max_width: int | None = None) -> Column:
    """Return a column of text, which folds where the terminal is narrow."""
    return Column(Text(printable(header)), overflow="fold", max_width=max_width)


def number(header: str, fold: bool = False) -> Column:
    """Return a column of numbers, aligned to the right; with `fold` a long header may take several lines."""
    return Column(Text(printable(header)), justify="right", no_wrap=not fold, overflow="fold")


def new(*columns: Column) -> Table:
    """Return an empty table with these columns."""
    return Table(*columns, box=None, padding=(0, 1), collapse_padding=True, pad_edge=False, header_style="dim")


def facts() -> Table:
    """Return an empty table of two columns without headers: what is told, and its value."""
    table = new(whole(""), words(""))
    table.show_header = False
    table.columns[0].style = Style(dim=True)
    return table


def add(table: Table, *cells: str | Text, style: str = "") -> None:
    """Append a row; a cell that has a style of its own is a rich Text."""
    table.add_row(*(cell if isinstance(cell, Text) else Text(printable(cell)) for cell in cells), style=style)
