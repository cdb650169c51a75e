"""The table of the cache of encoders."""

from rich.console import Group, RenderableType
from rich.text import Text

from berth.encoders.fetch import cache
from berth.errors import printable
from pipeline.display import tables


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
        tables.add(shown, names, kinds, entry.size, entry.sha256[:12])
    return Group(shown, Text(f"\nin {cache.root()}", style="dim"))
