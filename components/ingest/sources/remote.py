"""Files of object stores and web servers, through fsspec: find them with their versions, and fetch them."""

import contextlib
import datetime
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from berth.errors import BerthError
from berth.storage import object_store
from berth.storage.object_store import OBJECT_STORES, TIMEOUT_SECONDS, scheme_of

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem

_WEB = ("http", "https")


def find(address: str) -> list[tuple[str, int, str]]:
    """Return the URI, the size in bytes (-1: not known) and the version of the files at `address`.

    `address` is a file, a glob or a folder. The version is the ETag or the time of the last change; empty if the
    server sends neither.

    Raises:
        BerthError: nothing is found, or it cannot be listed.
    """
    scheme = address.partition("://")[0].lower()
    if scheme not in (*OBJECT_STORES, *_WEB):
        raise BerthError(f"source: {address}: no store of the kind {scheme}://. Berth reads s3://, gs:// and https://.")
    with _explained(address):
        client, path = _client_of(address)
        found = [path] if scheme in _WEB else _files_at(client, path)
        infos = [client.info(one) for one in found]
        uris = [one if scheme in _WEB else f"{scheme}://{one}" for one in found]
    if not found:
        raise BerthError(f"source: nothing at {address}. {_advice_on(address)}")
    return [(uri, int(info.get("size") or -1), _version(info)) for uri, info in zip(uris, infos, strict=True)]


def fetch(uri: str, target: Path) -> None:
    """Copy the file at `uri` to `target`.

    Raises:
        BerthError: it cannot be read to its end.
    """
    with _explained(uri):
        client, path = _client_of(uri)
        client.get_file(path, str(target))


def _client_of(address: str) -> "tuple[AbstractFileSystem, str]":
    """Return the client for `address`, and the address in the client's form."""
    import fsspec

    options = _web_options() if scheme_of(address) in _WEB else object_store.options_of(address)
    client, path = fsspec.core.url_to_fs(address, **options)
    return client, path


def _web_options() -> dict[str, Any]:
    import aiohttp

    limits = aiohttp.ClientTimeout(total=None, sock_connect=TIMEOUT_SECONDS, sock_read=TIMEOUT_SECONDS)
    return {"client_kwargs": {"timeout": limits, "raise_for_status": True}, "skip_instance_cache": True}


def _files_at(client: "AbstractFileSystem", path: str) -> list[str]:
    """Return the files of an object store at `path`, a file, a glob or a folder; hidden ones are left out."""
    from fsspec.core import has_magic

    found = client.glob(path) if has_magic(path) else [path]
    if found == [path] and client.isdir(path):
        found = client.find(path)
    return sorted(one for one in found if not Path(one).name.startswith((".", "_")) and not one.endswith("/"))


@contextlib.contextmanager
def _explained(address: str) -> Iterator[None]:
    """Convert the libraries' exceptions about `address` into a one-line BerthError."""
    try:
        yield
    except BerthError:
        raise
    except Exception as error:
        raise BerthError(f"source: {address} cannot be read ({_reason(error)}). {_advice_on(address)}") from None


def _reason(error: Exception) -> str:
    import aiohttp

    # fsspec reports a web server that does not answer, or is not trusted, as a missing file.
    cause = error.__cause__ or error.__context__ if isinstance(error, FileNotFoundError) else None
    if isinstance(cause, aiohttp.ClientConnectorCertificateError):
        why = getattr(cause.certificate_error, "verify_message", "not valid")
        return f"its certificate: {why}; SSL_CERT_FILE names other authorities"
    return "no answer" if isinstance(cause, aiohttp.ClientConnectionError) else object_store.reason_of(error)


def _advice_on(address: str) -> str:
    return "Check the address." if scheme_of(address) in _WEB else object_store.advice_on(address)


def _version(info: dict[str, Any]) -> str:
    for key in ("ETag", "etag", "LastModified", "updated", "mtime"):
        if value := info.get(key):
            return value.isoformat() if isinstance(value, datetime.datetime) else str(value).strip('"')
    return ""
