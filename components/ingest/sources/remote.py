"""Files of object stores, through fsspec, and of web servers: find them with their versions, and fetch them."""

import contextlib
import datetime
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from berth.errors import BerthError
from berth.storage import object_store
from berth.storage.addresses import without_secrets
from berth.storage.globs import with_literal_folders
from berth.storage.object_store import OBJECT_STORES, scheme_of
from components.ingest.sources import web

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem

_WEB = ("http", "https")


@dataclass(frozen=True)
class Found:
    """A file of a store or a web server."""

    uri: str
    """The name for users. It holds no secret, unlike `address`."""
    address: str
    size: int
    """In bytes; -1: not known."""
    version: str
    """The ETag or the time of the last change; empty: the server sends neither."""


def find(address: str, name: str) -> list[Found]:
    """Return the files at `address`, a file, a glob or a folder, which the configuration calls `name`.

    Raises:
        BerthError: nothing is found, or it cannot be listed.
    """
    scheme = scheme_of(address)
    if scheme not in (*OBJECT_STORES, *_WEB):
        raise BerthError(f"source: {name}: no store of the kind {scheme}://. Berth reads s3://, gs:// and https://.")
    with _explained(address, name):
        if scheme in _WEB:
            served = web.look(address)
            return [Found(name, address, served.size, served.version)]
        client, path = _client_of(address)
        paths = _files_at(client, path)
        infos = [client.info(one) for one in paths]
    if not paths:
        raise BerthError(f"source: nothing at {name}. {object_store.advice_on(address)}")
    prefix = address.partition("://")[0]
    return [
        Found(
            uri=f"{prefix}://{one}" if name == address else f"{name}/{PurePosixPath(one).name}",
            address=f"{prefix}://{one}",
            size=int(info.get("size") or -1),
            version=_version(info),
        )
        for one, info in zip(paths, infos, strict=True)
    ]


def fetch(found: Found, folder: Path) -> Path:
    """Copy the file to `folder` and return its path there; its name keeps the extension, which gives the format.

    Raises:
        BerthError: it cannot be read to its end.
    """
    with _explained(found.address, found.uri):
        if scheme_of(found.address) in _WEB:
            return web.fetch(found.address, folder)
        client, path = _client_of(found.address)
        target = folder / PurePosixPath(path).name
        client.get_file(path, str(target))
        return target


def _client_of(address: str) -> "tuple[AbstractFileSystem, str]":
    """Return the client for `address`, and the address in the client's form."""
    return object_store.store_of(address), address.partition("://")[2].strip("/")


def _files_at(client: "AbstractFileSystem", path: str) -> list[str]:
    """Return the files at `path`, an object, a folder or a glob; hidden ones are left out.

    What is there under exactly this name is not a glob: names of objects may have `*`, `?` and `[` in them.
    """
    from fsspec.core import has_magic

    if has_magic(path) and not client.exists(path):
        found = client.glob(with_literal_folders(path, client.isdir))
    elif client.isdir(path):
        found = client.find(path)
    else:
        return [path]
    return sorted(one for one in found if not PurePosixPath(one).name.startswith((".", "_")) and not one.endswith("/"))


@contextlib.contextmanager
def _explained(address: str, name: str) -> Iterator[None]:
    """Convert the libraries' exceptions about `address` into a one-line BerthError that calls it `name`."""
    try:
        yield
    except BerthError:
        raise
    except Exception as error:
        is_web = scheme_of(address) in _WEB
        why = web.reason(error) if is_web else without_secrets(object_store.reason_of(error))
        advice = web.advice(error) if is_web else object_store.advice_on(address)
        raise BerthError(f"source: {name} cannot be read ({why}). {advice}") from None


def _version(info: Mapping[str, object]) -> str:
    for key in ("ETag", "etag", "LastModified", "updated", "mtime"):
        if value := info.get(key):
            return value.isoformat() if isinstance(value, datetime.datetime) else str(value).strip('"')
    return ""
