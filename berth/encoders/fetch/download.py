"""Download the SavedModel of a handle: within a time limit, complete, and with the SHA-256 that the handle asks for."""

import contextlib
import hashlib
import http.client
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath
from typing import IO, TypeVar

from berth import progress
from berth.encoders.fetch.archive import extract
from berth.encoders.fetch.handle import Handle
from berth.errors import BerthError, first_line
from berth.storage.object_store import store_of

TOTAL_SECONDS = 1_800
"""Limit for a whole download: enough for the largest BERT over a slow connection."""
SILENT_SECONDS = 60
"""Downloads fail after this many seconds without data."""
_BLOCK = 1 << 20
Result = TypeVar("Result")
_PROGRESS_SECONDS = 2.0


def fetch(handle: Handle, folder: Path) -> str:
    """Write the files of the SavedModel that `handle` names to the empty folder `folder`.

    Returns the archive's SHA-256; empty if it is not an archive. Discard `folder` after an error.

    Raises:
        BerthError: it cannot be fetched; the message is only the reason.
    """
    if handle.kind == "store" and not handle.is_archive:
        _within(TOTAL_SECONDS, lambda: _folder_of_store(handle.address, folder))
        return ""
    with tempfile.TemporaryFile(dir=folder) as archive:
        digest, what = _within(TOTAL_SECONDS, lambda: _archive(handle, archive))
        if handle.sha256 and digest != handle.sha256:
            raise BerthError(f"its sha256 is {digest}, not the {handle.sha256} that was asked for")
        archive.seek(0)
        try:
            extract(archive, folder)
        except BerthError as error:
            raise BerthError(f"{error}{what}") from None
    return digest


def _archive(handle: Handle, archive: IO[bytes]) -> tuple[str, str]:
    """Write the archive to the file `archive`; return its SHA-256, and a note if the server sent a web page."""
    if handle.kind == "http":
        request = urllib.request.Request(handle.request, headers={"User-Agent": "berth"})
        with urllib.request.urlopen(request, timeout=SILENT_SECONDS) as answer:
            length = answer.headers.get("Content-Length")
            # read1 returns what has arrived so far, so that a slow server shows progress.
            digest, size = _copy(answer.read1, archive, int(length) if length else 0)
            kind = answer.headers.get_content_type()
        if length and size < int(length):
            raise BerthError(f"it ended after {size:,} of {int(length):,} bytes")
        return digest, " (the server sent a web page)" if kind == "text/html" else ""
    store, path = store_of(handle.address), handle.address.partition("://")[2]
    with store.open(path, "rb") as stream:
        return _copy(stream.read, archive, store.size(path))[0], ""


def _copy(read: Callable[[int], bytes], archive: IO[bytes], expected: int) -> tuple[str, int]:
    """Copy all blocks and return their SHA-256 and size; `expected` is the size in bytes, 0: not known."""
    digest, size, reported = hashlib.sha256(), 0, time.monotonic()
    while block := read(_BLOCK):
        archive.write(block)
        digest.update(block)
        size += len(block)
        if expected and time.monotonic() - reported > _PROGRESS_SECONDS:
            reported = time.monotonic()
            progress.report(size, expected, f"fetching, {size / 1e6:,.0f} of {expected / 1e6:,.0f} MB")
    return digest.hexdigest(), size


def _folder_of_store(address: str, folder: Path) -> None:
    store, root = store_of(address), address.partition("://")[2].rstrip("/")
    found = sorted(path for path in store.find(root) if not path.endswith("/"))
    if not found:
        raise BerthError("nothing is there")
    for path in found:
        own = PurePosixPath(path.removeprefix(f"{root}/"))
        if own.is_absolute() or ".." in own.parts:
            raise BerthError(f"it holds a path that leaves the folder, {str(own)!r}")
        target = folder / own
        target.parent.mkdir(parents=True, exist_ok=True)
        store.get_file(path, str(target))


def _within(seconds: float, work: Callable[[], Result]) -> Result:
    """Return the result of `work`; raise BerthError after `seconds`.

    It runs in a thread that may outlive this call: a DNS lookup, or headers that arrive byte by byte, cannot be
    interrupted in another way.
    """
    result: list[Result] = []
    failed: list[Exception] = []

    def run() -> None:
        try:
            with _plain_reasons():
                result.append(work())
        except Exception as error:
            failed.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(seconds)
    if thread.is_alive():
        raise BerthError(f"it took more than {seconds:,} seconds")
    if failed:
        raise failed[0]
    return result[0]


@contextlib.contextmanager
def _plain_reasons() -> Iterator[None]:
    """Convert any exception of the libraries that fetch into a BerthError with only the reason."""
    try:
        yield
    except BerthError:
        raise
    except Exception as error:
        raise BerthError(_reason(error)) from None


def _reason(error: Exception) -> str:
    if isinstance(error, urllib.error.HTTPError):
        return f"HTTP {error.code} {error.reason}"
    if isinstance(error, urllib.error.URLError):
        return _reason(error.reason) if isinstance(error.reason, Exception) else str(error.reason)
    if isinstance(error, TimeoutError):
        return f"timed out: the server sent nothing for {SILENT_SECONDS} s"
    if isinstance(error, FileNotFoundError):
        return "nothing is there"
    if isinstance(error, http.client.HTTPException):
        return f"the server's answer is not HTTP: {type(error).__name__}"
    return getattr(error, "strerror", None) or first_line(error)
