"""The work of `berth encoders`: list the cache of encoders, fetch into it, and verify its files."""

import json
from collections.abc import Iterator

from berth import images
from berth.encoders.builtin.checkpoint import is_checkpoint
from berth.encoders.builtin.checkpoint import name_in_cache as checkpoint_name
from berth.encoders.builtin.tokenisation import check_convertible
from berth.encoders.fetch import cache
from berth.encoders.fetch.handle import parse
from berth.encoders.present import name_in_cache
from berth.errors import BerthError, nearest
from pipeline import mlflow_store
from pipeline.local.environment_process import module_process


def add(text: str, sha256: str, label: str = "") -> Iterator[str]:
    """Fetch what the handle `text` leads to, or convert the checkpoint in that folder; yield the outcome, a line each.

    Args:
        text: The handle.
        sha256: What an archive must have; empty: anything.
        label: What the cache lists a checkpoint as; empty: its folder's name.

    Raises:
        BerthError: it does not lead to an encoder or a preprocessor, or not to the archive of `sha256`.
    """
    handle = parse("HANDLE", f"{text}#sha256={sha256}" if sha256 else text)
    is_folder = handle.kind == "folder"
    if is_folder and not is_checkpoint(text):
        raise BerthError(
            f"{text!r} is not an address, nor a folder with a config.json. A SavedModel of this machine needs no "
            "cache: name its folder in 'encoder'."
        )
    if label and not is_folder:
        raise BerthError("--name is for a folder of Hugging Face. Leave it out: an address has its name.")
    if is_folder:
        check_convertible("HANDLE", text)
    if handle.kind == "registered":
        mlflow_store.use_tracking_uri()
    name = checkpoint_name(text, label) if is_folder else name_in_cache(handle)
    there = cache.entry(name) is not None
    if not there:
        for line in _in_train_environment("add", handle.text, label):
            if line.startswith(("fetching", "waiting", "converting")):
                yield line
    entry = cache.entry(name)
    assert entry is not None
    model, state = entry.models[0], f"is {'there already' if there else 'converted' if is_folder else 'fetched'}"
    yield f"{entry.name} {state}: {model.words[0]}, {entry.size}"
    yield f"{model.kind}: {handle.text}"
    if not handle.sha256 and entry.archive_sha256:
        yield f"To accept only this very archive, append #sha256={entry.archive_sha256}"


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
