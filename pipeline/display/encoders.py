"""The table of the cache of encoders."""

from rich.console import Group, RenderableType
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from berth.encoders.fetch import cache
from berth.errors import printable

_UNITS = ("B", "kB", "MB", "GB")


def table() -> RenderableType:
    """Return what is in the cache: name and handle, kind, size, and the SHA-256 of the files."""
    known = cache.entries()
    if not known:
        return Text(f"Nothing is in {cache.root()}: a run fetches what it needs, and 'berth encoders add HANDLE' does.")
    shown = Table(box=None, padding=(0, 1), header_style="dim")
    shown.add_column("name and handle", overflow="fold")
    shown.add_column("kind", overflow="fold", max_width=14)
    shown.add_column("size", justify="right", no_wrap=True)
    shown.add_column("sha256", no_wrap=True)
    for entry in known:
        names = f"{escape(printable(entry.name))}\n[dim]{escape(printable(entry.handle))}[/]"
        kinds = "\n".join(model.words[0].partition(" of ")[0] for model in entry.models)
        shown.add_row(names, kinds, size(entry.bytes), entry.sha256[:12])
    return Group(shown, Text(f"\nin {cache.root()}", style="dim"))


def size(size: float) -> str:
    for unit in _UNITS[:-1]:
        if size < 1000:
            return f"{size:,.0f} {unit}"
        size /= 1000
    return f"{size:,.1f} {_UNITS[-1]}"
