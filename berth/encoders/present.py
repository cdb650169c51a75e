"""The content that a handle leads to now, without fetching it. Does not need TensorFlow."""

import contextlib
import hashlib
import urllib.request
from pathlib import Path

from berth.encoders import registered
from berth.encoders.builtin.checkpoint import digest, is_checkpoint
from berth.encoders.builtin.tokenisation import check_convertible
from berth.encoders.builtin.weights import BUILT_IN
from berth.encoders.fetch import cache
from berth.encoders.fetch.handle import ADVICE, NONE, Handle, parse
from berth.errors import BerthError
from berth.registry.fetch import is_reference
from berth.storage.object_store import store_of

_SECONDS = 10
"""How long a server may take to describe what it has."""


def fingerprint(encoder: str, preprocessor: str) -> str:
    """Return a SHA-256 that changes when the files of the encoder or the preprocessor do.

    A folder counts by its files (a checkpoint by those that an encoder is made of), a bucket and a web server by the
    ETags that they give, a pinned archive by its pin, a registered model by its version and digest.
    What is not known (a folder of another machine, a server that gives nothing) counts by its handle alone.

    Raises:
        BerthError: the folder is a checkpoint that cannot be converted.
    """
    both = {"encoder": encoder, "preprocessor": preprocessor}
    contents = {field: f"{text}\0{_content(field, text)}" for field, text in both.items()}
    return hashlib.sha256(repr(contents).encode()).hexdigest()


def check_folders(encoder: str, preprocessor: str) -> None:
    """Raise BerthError if a handle is a folder that this machine lacks; what is elsewhere is asked when it is fetched.

    For runs on this machine: on a cluster a step's pod may have a folder that no other machine has.
    """
    for field, text in (("encoder", encoder), ("preprocessor", preprocessor)):
        is_folder = text not in ("", BUILT_IN, NONE) and parse(field, text).kind == "folder"
        if is_folder and not Path(text).is_dir():
            raise BerthError(f"{field}: no folder {text!r}. {ADVICE}")


def name_in_cache(handle: Handle) -> str:
    """Return the name under which the cache holds, or will hold, what `handle` leads to now.

    Where the server cannot be asked or gives no version, it is the newest that was fetched.

    Example:
        >>> pinned = parse("encoder", f"https://models.example/bert.tar.gz#sha256={'0' * 64}")
        >>> name_in_cache(pinned) == pinned.name
        True
    """
    if handle.sha256:
        return handle.name
    if now := version(handle):
        return f"{handle.name}-{hashlib.sha256(now.encode()).hexdigest()[:8]}"
    fetched = [entry for entry in cache.entries() if entry.handle == handle.text]
    return max(fetched, key=lambda entry: entry.fetched).name if fetched else handle.name


def registered_version(text: str) -> str:
    """Return NAME/VERSION of the registered encoder that `text` stands for now; empty: it is another kind of handle."""
    if not is_reference(text):
        return ""
    name, found = registered.find("encoder", text)
    return f"{name}/{found.number}"


def version(handle: Handle) -> str:
    """Return what changes when the files behind the address of `handle` do; empty: not known."""
    if handle.kind == "registered":
        return registered.identity("encoder", handle.text)
    with contextlib.suppress(Exception):  # whatever is wrong is reported where the files are fetched
        return _of_web(handle) if handle.kind == "http" else _of_store(handle)
    return ""


def _content(field: str, text: str) -> str:
    if text in ("", BUILT_IN, NONE):
        return ""
    try:
        handle = parse(field, text)
    except BerthError:
        return ""
    if handle.kind == "folder":
        return _of_folder(field, text)
    return handle.sha256 or version(handle)


def _of_folder(field: str, text: str) -> str:
    if not is_checkpoint(text):
        return cache.digest(Path(text)) if Path(text).is_dir() else ""
    check_convertible(field, text)
    return digest(text)


def _of_web(handle: Handle) -> str:
    request = urllib.request.Request(handle.request, headers={"User-Agent": "berth"}, method="HEAD")
    with urllib.request.urlopen(request, timeout=_SECONDS) as answer:
        changed, length = answer.headers.get("Last-Modified"), answer.headers.get("Content-Length")
        return answer.headers.get("ETag") or (f"{changed} {length}" if changed and length else "")


def _of_store(handle: Handle) -> str:
    found: dict[str, dict[str, object]] = store_of(handle.address).find(handle.address.partition("://")[2], detail=True)
    known = [(path, own.get("etag") or own.get("ETag"), own["size"]) for path, own in sorted(found.items())]
    return repr(known) if known and all(etag for _, etag, _ in known) else ""
