"""The table of the cache of encoders."""

from rich.console import Group, RenderableType
from rich.text import Text

from berth.encoders.fetch import cache
from berth.errors import printable
from pipeline.display import tables

_UNITS = ("B", "kB", "MB", "GB")


def table() -> RenderableType:
    """Return what is in the cache: name and handle, kind, size, and the SHA-256 of the files."""
    known = cache.entries()
    if not known:
        return Text(f"Nothing is in {cache.root()}: a run fetches what it needs, and 'berth encoders add HANDLE' does.")
    shown = tables.new(
        tables.words("name and handle"), tables.words("kind", 14), tables.number("size"), tables.whole("sha256")
    )
    for entry in known:
        names = Text.assemble(printable(entry.name), "\n", (printable(entry.handle), "dim"))
        kinds = Text("\n".join(printable(model.words[0].partition(" of ")[0]) for model in entry.models))
        tables.add(shown, names, kinds, size(entry.bytes), entry.sha256[:12])
    return Group(shown, Text(f"\nin {cache.root()}", style="dim"))


def size(size: float) -> str:
    """Return a number of bytes in the unit that suits it, such as `17 MB`."""
    for unit in _UNITS[:-1]:
        if size < 1000:
            return f"{size:,.0f} {unit}"
        size /= 1000
    return f"{size:,.1f} {_UNITS[-1]}"
