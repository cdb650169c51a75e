"""Find a source's files, tell their format, and name their columns."""

import codecs
import contextlib
import csv
import datetime
import glob
import hashlib
import itertools
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from components.common.errors import BerthError, nearest
from components.ingest import query, remote
from components.ingest.settings import Settings

FORMATS = {".csv": "csv", ".tsv": "tsv", ".txt": "tsv", ".jsonl": "json", ".ndjson": "json", ".parquet": "parquet"}
COMPRESSIONS = {".gz": "gzip", ".zst": "zstd"}
DELIMITERS = {"csv": ",", "tsv": "\t"}
_KINDS = f"{', '.join(FORMATS)}, each also as {' or '.join(COMPRESSIONS)}"
CARRIAGE_RETURN = "a carriage return inside the row. Remove it, and end lines with \\n or \\r\\n."
_CHUNK = 1 << 20
_LONGEST_NAME = 60
_KEYS_FROM = 100
"""JSON rows whose keys are taken for the columns there are: a row may leave one out."""


@dataclass(frozen=True)
class File:
    """One file of a source, on this machine; `uri` is what the user calls it."""

    uri: str
    path: Path
    size: int
    version: str
    """The ETag of a file from elsewhere, else the time of its last change."""
    split: str = ""
    """The split that its rows belong to; empty where that is for ingest to deal out."""


@dataclass(frozen=True)
class Rows:
    """The files of a source, all of one format (`csv`, `tsv`, `json` or `parquet`), and the columns they have."""

    files: list[File]
    format: str
    columns: list[str]
    has_header: bool


def fingerprint(settings: Settings) -> str:
    """Find the source and return a SHA-256 that changes whenever a row may have: of bytes, ETags, or a query's rows.

    Raises:
        BerthError: there is no such source, or it is not what the configuration says.
    """
    settings.check_slices()
    source = settings.source
    if source.sql:
        _check_columns(query.name(source), query.columns(source), settings)
        return query.digest(source)
    digest = hashlib.sha256()
    for split, address in source.split_files().items():
        if "://" in address:
            for uri, size, version in remote.find(address):
                with tempfile.TemporaryDirectory(prefix="berth-locate-") as scratch:
                    known = version or _sha256(_fetched(uri, Path(scratch)))
                digest.update(f"{split}\0{uri}\0{size}\0{known}\n".encode())
        else:
            files = _local_files(address, split)
            _inspect(files, settings)
            for file in files:
                digest.update(f"{file.path.name}\0{_sha256(file.path)}\n".encode())
    return digest.hexdigest()


def open_rows(settings: Settings, scratch: Path) -> Rows:
    """Bring the source to this machine, if need be into the folder `scratch`, and look at its columns.

    Raises:
        BerthError: there is no such source, or it is not what the configuration says.
    """
    settings.check_slices()
    source = settings.source
    if source.sql:
        path = scratch / "query.parquet"
        query.store(source, path)
        return _inspect([File(query.name(source), path, path.stat().st_size, "")], settings)
    files: list[File] = []
    for split, address in source.split_files().items():
        if "://" not in address:
            files += _local_files(address, split)
            continue
        for number, (uri, size, version) in enumerate(remote.find(address)):
            folder = scratch / f"{split}{number}"
            folder.mkdir()
            files.append(File(uri, _fetched(uri, folder), size, version, split))
    return _inspect(files, settings)


def check_unchanged(rows: Rows) -> None:
    """Raise unless the source's local files are as they were found."""
    for file in rows.files:
        if "://" in file.uri or file.uri != str(file.path):
            continue
        try:
            now = _local_file(file.path, file.split)
        except OSError as error:
            raise BerthError(f"{file.uri}: gone while it was read ({error.strerror}). Run again.") from None
        if now != file:
            raise BerthError(f"{file.uri}: changed while it was read. Run again when nobody writes it.")


def _inspect(files: list[File], settings: Settings) -> Rows:
    """Tell the files' format and columns."""
    formats = {_format(file.path) for file in files}
    if len(formats) > 1:
        raise BerthError(f"source: holds files of different formats ({', '.join(sorted(formats))}). Name one kind.")
    format = formats.pop()
    found: list[str] = []
    for file in files:
        there = _columns(file, format, settings.columns)
        if found and there != found and format != "json":
            raise BerthError(
                f"{file.uri}: its columns ({_list(there)}) are not those of {files[0].path.name} ({_list(found)}). "
                "Make them the same, or name one of the files."
            )
        found = there
        name = file.path.name if file.path.name in file.uri else file.uri
        _check_columns(name, there, settings)
        if format == "json":
            _check_case(name, settings)
    return Rows(files, format, found, has_header=not settings.columns)


def _check_columns(name: str, there: list[str], settings: Settings) -> None:
    for setting, column in settings.wanted.items():
        field = setting.partition("[")[0]
        if column not in there:
            raise BerthError(
                f"{field}: no column {column!r} in {name}.{nearest(column, there)} "
                f"It has: {_list(there)}.{_delimiter_hint(there)}"
            )
        if there.count(column) > 1:
            raise BerthError(f"{field}: {name} has several columns {column!r}. Rename all but one.")


def _check_case(name: str, settings: Settings) -> None:
    """Raise where two keys differ in case only: DuckDB takes JSON's keys for one then."""
    wanted = sorted(set(settings.wanted.values()))
    for one, other in itertools.combinations(wanted, 2):
        if one.lower() == other.lower():
            raise BerthError(f"{name}: the keys {one!r} and {other!r} differ in case only. Rename one of them.")


def _delimiter_hint(columns: list[str]) -> str:
    """Return what to do about columns that are not found: often the file has another delimiter than its name says."""
    for delimiter, means in ((";", "a semicolon"), ("\t", "a tab"), ("|", "a bar"), (",", "a comma")):
        if len(columns) == 1 and delimiter in columns[0]:
            advice = {",": "Name it .csv.", "\t": "Name it .tsv."}.get(delimiter, "Write commas (.csv) or tabs (.tsv).")
            return f" They look delimited by {means}. {advice}"
    return " For a file without a header row, name them with 'columns'."


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _fetched(uri: str, folder: Path) -> Path:
    """Return the copy of the file at `uri` in `folder`; its name keeps the ending, which says what it holds."""
    target = folder / (Path(urlsplit(uri).path).name or "source")
    remote.fetch(uri, target)
    if not target.stat().st_size:
        raise BerthError(f"{uri}: the file is empty. It needs a text and a label in each row.")
    return target


def _local_files(source: str, split: str) -> list[File]:
    path = Path(source)
    if not source.strip():
        raise BerthError("source: names nothing. Give a file, a glob or a folder.")
    if path.is_dir():
        paths = sorted(found for found in path.rglob("*") if found.is_file() and not _hidden(found.relative_to(path)))
        if not paths:
            raise BerthError(f"source: the folder {source} holds no files. Put {_KINDS} files there.")
    elif path.is_file():
        paths = [path]
    else:
        paths = sorted(Path(found) for found in glob.glob(source, recursive=True) if Path(found).is_file())  # noqa: PTH207
        if not paths:
            kind = "file matches" if glob.has_magic(source) else "file"
            raise BerthError(f"source: no {kind} {source}. Paths are relative to the configuration file.")
    files = []
    for found in paths:
        try:
            files.append(_local_file(found, split))
            with found.open("rb") as stream:
                head = stream.read(2)
        except OSError as error:
            raise BerthError(f"{found}: cannot be read ({error.strerror}). Mend its permissions.") from None
        if not head:
            raise BerthError(f"{found}: the file is empty. It needs a text and a label in each row.")
        if head in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE):
            raise BerthError(f"{found}: UTF-16 text. Save it as UTF-8.")
    return files


def _local_file(path: Path, split: str) -> File:
    found = path.stat()
    changed = datetime.datetime.fromtimestamp(found.st_mtime_ns / 1e9, datetime.UTC)
    return File(str(path), path, found.st_size, changed.isoformat(), split)


def _hidden(path: Path) -> bool:
    return any(part.startswith((".", "_")) for part in path.parts)


def _format(path: Path) -> str:
    suffixes = [suffix.lower() for suffix in path.suffixes]
    if suffixes and suffixes[-1] in COMPRESSIONS:
        suffixes.pop()
    if not suffixes or suffixes[-1] not in FORMATS:
        raise BerthError(f"{path}: its name does not say what it holds. Berth reads {_KINDS}.")
    return FORMATS[suffixes[-1]]


def _columns(file: File, format: str, given: list[str]) -> list[str]:
    path, name = file.path, file.uri
    if format == "parquet":
        import pyarrow.parquet as pq
        from pyarrow import ArrowException

        try:
            return list(pq.read_schema(path).names)
        except (ArrowException, OSError) as error:
            raise BerthError(f"{name}: not a whole Parquet file ({_first_line(error)}). Write it anew.") from None
    lines = _text_lines(file)
    if format == "json":
        return _json_keys(name, lines)
    number, first = next(lines)
    if number > 1 and not given:
        raise BerthError(
            f"{name}: line 1 is blank, and the header row has to come first. Remove the blank lines above it."
        )
    if format == "tsv":
        if "\r" in first:
            raise BerthError(f"{name}: line {number}: {CARRIAGE_RETURN}")
        names = first.split(DELIMITERS[format])
    else:
        record = itertools.chain([first], (line for _, line in lines))  # a quoted text may go on in the next line
        try:
            names = next(csv.reader((f"{line}\n" for line in record), delimiter=DELIMITERS[format]))
        except csv.Error as error:
            raise BerthError(
                f"{name}: line {number} cannot be read ({error}). Close its quotes, and end lines with \\n or \\r\\n."
            ) from None
    if not given:
        return names
    if len(names) != len(given):
        raise BerthError(
            f"{name}: line {number} has {len(names)} columns, and 'columns' names {len(given)}: {', '.join(given)}."
        )
    return list(given)


def _json_keys(name: str, lines: Iterator[tuple[int, str]]) -> list[str]:
    import json

    keys: dict[str, None] = {}
    for number, line in itertools.islice(lines, _KEYS_FROM):
        try:
            record = json.loads(line)
        except ValueError as error:
            raise BerthError(f"{name}: line {number} is not JSON ({error}). Write one JSON object a line.") from None
        if not isinstance(record, dict):
            raise BerthError(
                f'{name}: line {number} is no JSON object. Write one object a line, such as {{"text": "..."}}.'
            )
        keys.update(dict.fromkeys(record))
    return list(keys)


def _text_lines(file: File) -> Iterator[tuple[int, str]]:
    """Yield the lines that are not blank with their numbers, without byte order mark and line end."""
    blank = True
    for number, line in enumerate(open_decompressed(file), start=1):
        text = line.removeprefix(codecs.BOM_UTF8).decode("utf-8", errors="replace")
        if text.strip():
            blank = False
            yield number, text.removesuffix("\n").removesuffix("\r")
    if blank:
        raise BerthError(f"{file.uri}: the file holds blank lines only. It needs a text and a label in each row.")


def open_decompressed(file: File) -> Iterator[bytes]:
    """Yield the lines of `file`, bytes with their line ends, decompressed by its ending; raises as `opened` does."""
    import io

    with opened(file) as stream:
        yield from io.BufferedReader(stream, _CHUNK)


@contextlib.contextmanager
def opened(file: File) -> Iterator[Any]:
    """Open `file` as a stream of bytes, decompressed by its ending.

    Raises:
        BerthError: the compressed file is damaged or cut short.
    """
    import pyarrow as pa

    try:
        with pa.input_stream(str(file.path), compression=COMPRESSIONS.get(file.path.suffix.lower())) as stream:
            yield stream
    except FileNotFoundError:
        raise BerthError(f"{file.uri}: gone while it was read. Run again.") from None
    except (OSError, pa.ArrowException) as error:
        raise BerthError(
            f"{file.uri}: cannot be read whole ({_first_line(error)}). Copy or compress it anew."
        ) from None


def _list(columns: list[str]) -> str:
    """Return the names in one line; of a file without a header row they are a text, which may be long."""
    return ", ".join(f"{name[:_LONGEST_NAME]}..." if len(name) > _LONGEST_NAME else name for name in columns)


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
