"""The work of `berth encoders`: list the cache of encoders, fetch into it, and verify its files."""

import json
from collections.abc import Iterator

from berth import images
from berth.encoders.fetch import cache
from berth.encoders.fetch.handle import parse
from berth.encoders.present import name_in_cache
from berth.errors import BerthError, nearest
from pipeline import mlflow_store
from pipeline.local.environment_process import module_process


def add(text: str, sha256: str) -> Iterator[str]:
    """Fetch what the handle `text` leads to and yield the outcome, a line each.

    Raises:
        BerthError: it does not lead to an encoder or a preprocessor, or not to the archive of `sha256`.
    """
    handle = parse("HANDLE", f"{text}#sha256={sha256}" if sha256 else text)
    if handle.kind == "folder":
        raise BerthError(f"{text!r} is not an address. A folder of this machine needs no cache: name it in 'encoder'.")
    if handle.kind == "registered":
        mlflow_store.use_tracking_uri()
    there = cache.entry(name_in_cache(handle)) is not None
    if not there:
        for line in _in_train_environment("add", handle.text):
            if line.startswith(("fetching", "waiting")):
                yield line
    entry = cache.entry(name_in_cache(handle))
    assert entry is not None
    model, state = entry.models[0], "is there already" if there else "is fetched"
    yield f"{entry.name} {state}: {model.words[0]}, {entry.size}"
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
            f"{len(broken)} of {len(names)} cannot be used. Remove {cache.root() / broken[0]}: a run fetches it again."
        )
    if not names:
        yield f"Nothing is in {cache.root()}."


def _in_train_environment(*arguments: str) -> Iterator[str]:
    """Yield the lines that berth.encoders.__main__ prints."""
    with module_process(images.TRAIN, "berth.encoders.__main__", *arguments) as process:
        assert process.stdout is not None
        yield from (line.rstrip("\n") for line in process.stdout)
