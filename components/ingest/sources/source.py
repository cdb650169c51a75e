"""Find a source's files, their format, and their columns."""

import hashlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from berth.errors import BerthError
from berth.models.integrity import sha256_of
from berth.settings import ENVIRONMENT
from berth.storage.addresses import with_lower_scheme
from components.ingest.settings import IngestSettings
from components.ingest.sources import query, remote
from components.ingest.sources.columns import check_columns, inspect
from components.ingest.sources.files import File, Rows
from components.ingest.sources.local import local_file, local_files


def fingerprint(settings: IngestSettings) -> str:
    """Find the source and return a SHA-256 that changes whenever a row may have: of bytes, ETags, or a query's rows.

    Raises:
        BerthError: there is no such source, or it does not match the configuration.
    """
    own = _fingerprint(settings)
    if not settings.corrections:
        return own
    return hashlib.sha256(f"{own}\0{_fingerprint(settings.for_corrections())}".encode()).hexdigest()


def _fingerprint(settings: IngestSettings) -> str:
    settings.check_slices()
    source = settings.source
    if source.sql:
        check_columns(query.name(source), query.columns(source), settings)
        return query.digest(source)
    digest = hashlib.sha256()
    for split, name in source.split_files().items():
        address = _address(name)
        if "://" in address:
            for found in remote.find(address, name):
                with tempfile.TemporaryDirectory(prefix="berth-locate-") as scratch:
                    known = found.version or sha256_of(_fetched(found, Path(scratch)))
                digest.update(f"{split}\0{found.uri}\0{found.size}\0{known}\n".encode())
        else:
            files = local_files(address, split)
            if settings.documents == "row":
                inspect(files, settings)
            for file in files:
                digest.update(f"{file.path.name}\0{sha256_of(file.path)}\n".encode())
    return digest.hexdigest()


def open_rows(settings: IngestSettings, scratch: Path) -> Rows:
    """Bring the source to this machine, if need be into the folder `scratch`, and look at its columns.

    Raises:
        BerthError: there is no such source, or it does not match the configuration.
    """
    settings.check_slices()
    source = settings.source
    if source.sql:
        path = scratch / "query.parquet"
        query.store(source, path)
        return inspect([File(query.name(source), path, path.stat().st_size, "")], settings)
    return inspect(list(fetched_files(settings, scratch)), settings)


def fetched_files(settings: IngestSettings, scratch: Path) -> Iterator[File]:
    """Yield the source's files; those of a store are brought to this machine one at a time, into the folder `scratch`.

    Raises:
        BerthError: there is no such source.
    """
    for split, name in settings.source.split_files().items():
        address = _address(name)
        if "://" not in address:
            yield from local_files(address, split)
            continue
        for number, found in enumerate(remote.find(address, name)):
            folder = scratch / f"{split}{number}"
            folder.mkdir()
            yield File(found.uri, _fetched(found, folder), found.size, found.version, split)


def check_unchanged(rows: Rows) -> None:
    """Raise if one of the source's local files has changed since it was found."""
    for file in rows.files:
        if "://" in file.uri or file.uri != str(file.path):
            continue
        try:
            now = local_file(file.path, file.split)
        except OSError as error:
            raise BerthError(f"{file.uri}: removed while it was read ({error.strerror}). Run again.") from None
        if now != file:
            raise BerthError(f"{file.uri}: changed while it was read. Run again when no process writes to it.")


def _address(name: str) -> str:
    """Return where files are that the configuration calls `name`: in the value of a variable, for `env:NAME`."""
    if not name.startswith(ENVIRONMENT):
        return name
    variable = name.removeprefix(ENVIRONMENT)
    address = with_lower_scheme(os.environ.get(variable, "").strip())
    if not address:
        raise BerthError(f"source: the variable {variable} is not set. Put the address of the files there.")
    if "://" not in address and not Path(address).is_absolute():
        raise BerthError(f"source: {variable} holds a relative path. Put an absolute path or an address there.")
    return address


def _fetched(found: remote.Found, folder: Path) -> Path:
    """Return the copy of the file in `folder`; its name keeps the extension, which gives the format."""
    return remote.fetch(found, folder)
