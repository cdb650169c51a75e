"""Files behind a web server: find out what an address serves, and fetch it. A page to sign in is not data."""

import asyncio
import http
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, TypeVar

from berth.storage.object_store import TIMEOUT_SECONDS
from components.ingest.sources.files import KINDS, format_of

if TYPE_CHECKING:
    from aiohttp import ClientResponse

Answer = TypeVar("Answer")
_TYPES = {
    "text/csv": ".csv",
    "text/tab-separated-values": ".tsv",
    "application/x-ndjson": ".jsonl",
    "application/jsonl": ".jsonl",
    "application/jsonlines": ".jsonl",
    "application/vnd.apache.parquet": ".parquet",
}
"""The extension for a Content-Type; servers send others for files too, which then need a name."""
_PAGE = re.compile(rb"(\xef\xbb\xbf)?\s*<(!doctype html|html|head|script)\b", re.IGNORECASE)
_HEAD = 512
_CHUNK = 1 << 20


class NotData(Exception):
    """A web server answers with something that is not a file of texts; the message says with what."""


@dataclass(frozen=True)
class ServedFile:
    """What a web server serves at an address."""

    name: str
    """A file name whose extension says the format."""
    size: int
    """In bytes; -1: not known."""
    version: str
    """The ETag; empty: the server sends none."""


def look(address: str) -> ServedFile:
    """Return what is at `address`, without fetching more than its start.

    Raises:
        NotData: it is a web page, or nothing says which format it has.
        aiohttp.ClientError, TimeoutError: the server refuses or fails; `reason` and `advice` explain it.
    """

    async def read(answer: "ClientResponse") -> ServedFile:
        _check_is_file(answer, await answer.content.read(_HEAD))
        encoded = answer.headers.get("Content-Encoding", "identity") != "identity"
        size = -1 if encoded or answer.content_length is None else answer.content_length
        return ServedFile(_name(address, answer), size, answer.headers.get("ETag", "").strip('"'))

    return asyncio.run(_ask(address, read))


def fetch(address: str, folder: Path) -> Path:
    """Write what is at `address` to a file in `folder`, whose name says its format; raises as `look` does."""

    async def read(answer: "ClientResponse") -> Path:
        target, checked = folder / _name(address, answer), False
        with target.open("wb") as stream:
            async for chunk in answer.content.iter_chunked(_CHUNK):
                if not checked:
                    _check_is_file(answer, chunk)
                    checked = True
                stream.write(chunk)
        return target

    return asyncio.run(_ask(address, read))


async def _ask(address: str, read: Callable[["ClientResponse"], Awaitable[Answer]]) -> Answer:
    import aiohttp
    from yarl import URL

    limits = aiohttp.ClientTimeout(total=None, sock_connect=TIMEOUT_SECONDS, sock_read=TIMEOUT_SECONDS)
    url = URL(address, encoded=address.isascii() and " " not in address)  # a signature is for the address as it is
    async with aiohttp.ClientSession(timeout=limits, trust_env=True) as session, session.get(url) as answer:
        answer.raise_for_status()
        return await read(answer)


def _check_is_file(answer: "ClientResponse", head: bytes) -> None:
    is_html = answer.content_type in ("text/html", "application/xhtml+xml") and head.lstrip().startswith(b"<")
    if is_html or (answer.content_type not in _TYPES and _PAGE.match(head)):
        raise NotData("the server sent a web page, perhaps one to sign in, where a file is expected")


def _name(address: str, answer: "ClientResponse") -> str:
    """Return a file name that says the format: the address's own, one that the server gives, or by the Content-Type."""
    sent = answer.content_disposition.filename if answer.content_disposition else None
    for name in (PurePosixPath(address.partition("?")[0].partition("#")[0]).name, sent, answer.url.name):
        if name and format_of(name):
            return PurePosixPath(name).name
    if extension := _TYPES.get(answer.content_type):
        return f"source{extension}"
    raise NotData(f"neither its address nor the server, which sent {answer.content_type}, says its format")


def reason(error: Exception) -> str:
    """Return in a few words why a web server failed."""
    import aiohttp

    if isinstance(error, NotData):
        return str(error)
    if isinstance(error, aiohttp.ClientResponseError):
        if error.status in (404, 410):
            return "not there"
        words = error.message or (http.HTTPStatus(error.status).phrase if error.status in _STATUSES else "")
        return f"the server answers {error.status} {words}".strip()
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        why = getattr(error.certificate_error, "verify_message", "not valid")
        return f"its certificate: {why}; SSL_CERT_FILE names other authorities"
    if isinstance(error, aiohttp.ClientPayloadError):
        return "the connection ended before the file did"
    if isinstance(error, (aiohttp.InvalidURL, ValueError)):
        return "not a valid address"
    return "no answer"


def advice(error: Exception) -> str:
    """Return the sentence that tells the user what to do about `error`."""
    if isinstance(error, NotData):
        return f"Download the file and name it; Berth reads {KINDS}."
    status = getattr(error, "status", 0)
    if status in (401, 403, 407):
        return "Give an address that needs no sign-in, such as a signed one as source: env:NAME; or a bucket's."
    if status == 429 or status >= 500:
        return "Try again later, or ask those who run the server."
    return "Check the address."


_STATUSES = {status.value for status in http.HTTPStatus}
