"""What `berth encoders` does: look at the cache of encoders, fetch into it, and see that it is sound."""

import json
import os
import subprocess
from collections.abc import Iterator

from rich.console import Group, RenderableType
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from components.common import images
from components.common.errors import BerthError, nearest, printable
from components.train import cache
from components.train.handle import parse
from pipeline import home

_ERROR = "components.common.errors.BerthError: "
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
        shown.add_row(names, kinds, _size(entry.bytes), entry.sha256[:12])
    return Group(shown, Text(f"\nin {cache.root()}", style="dim"))


def add(text: str, sha256: str) -> Iterator[str]:
    """Fetch what the handle `text` leads to and yield what came of it, a line each.

    Raises:
        BerthError: it does not lead to an encoder or a preprocessor, or not to the archive of `sha256`.
    """
    handle = parse("HANDLE", f"{text}#sha256={sha256}" if sha256 else text)
    if handle.kind == "folder":
        raise BerthError(f"{text!r} is no address. A folder of this machine needs no cache: name it in 'encoder'.")
    there = cache.entry(handle.name) is not None
    if not there:
        for line in _in_train_environment("add", handle.text):
            if line.startswith(("fetching", "waiting")):
                yield line
    entry = cache.entry(handle.name)
    assert entry is not None
    model, state = entry.models[0], "is there already" if there else "is fetched"
    yield f"{entry.name} {state}: {model.words[0]}, {_size(entry.bytes)}"
    yield f"{model.kind}: {handle.text}"
    if not handle.sha256 and entry.archive_sha256:
        yield f"To have runs hold to this very archive, append #sha256={entry.archive_sha256}"


def verify(name: str | None) -> Iterator[str]:
    """Hash the files of an entry of the cache, or of all, load them, and yield what they are, a line each.

    Raises:
        BerthError: there is no such entry; or, at the end, one is not as it should be.
    """
    names = [entry.name for entry in cache.entries()]
    if name is not None:
        found = [entry.name for entry in cache.entries() if name in (entry.name, entry.handle)]
        if not found:
            raise BerthError(f"no {name!r} in {cache.root()}.{nearest(name, names)} See 'berth encoders list'.")
        names = found
    broken = []
    for line in _in_train_environment("verify", *names) if names else ():
        if not line.startswith("{"):
            continue
        answer = json.loads(line)
        problem = answer["problem"]
        yield f"{'✗' if problem else '✓'} {answer['name']}{': ' if problem else ''}{problem}"
        yield from (f"  {words}" for words in answer["words"])
        broken += [answer["name"]] * bool(problem)
    if broken:
        raise BerthError(
            f"{len(broken)} of {len(names)} cannot be used. Remove {cache.root() / broken[0]}: a run fetches it anew."
        )
    if not names:
        yield f"Nothing is in {cache.root()}."


def _in_train_environment(*arguments: str) -> Iterator[str]:
    """Yield the lines that components.train.encoders prints; raise its last words as a BerthError."""
    command = [str(home.environment_bin(images.TRAIN) / "python3"), "-m", "components.train.encoders", *arguments]
    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        env={**os.environ, "PYTHONPATH": str(home.CHECKOUT), "TF_CPP_MIN_LOG_LEVEL": "3"},
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        yield from (line.rstrip("\n") for line in process.stdout)
        errors = process.stderr.read()
    if process.returncode:
        last = next((line for line in reversed(errors.splitlines()) if line.strip()), "it ended without a word")
        if last.startswith(_ERROR):
            raise BerthError(last.removeprefix(_ERROR))
        raise RuntimeError(f"components.train.encoders {arguments[0]} failed:\n{errors}")


def _size(size: float) -> str:
    for unit in _UNITS[:-1]:
        if size < 1000:
            return f"{size:,.0f} {unit}"
        size /= 1000
    return f"{size:,.1f} {_UNITS[-1]}"
