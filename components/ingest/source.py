"""Find a source's files, tell their format, and name their columns."""

import codecs
import csv
import glob
import hashlib
import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from components.common.errors import BerthError, nearest

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
class Source:
    """The files of a source, all of one format (`csv`, `tsv`, `json` or `parquet`), and the columns they have."""

    files: list[Path]
    format: str
    columns: list[str]
    has_header: bool


def find_source(source: str, columns: list[str], text_column: str, label_column: str) -> Source:
    """Find `source`, a file, a glob or a folder; `columns` names the columns of CSV and TSV without a header row.

    Raises:
        BerthError: there is no such source, or it is not what the configuration says.
    """
    if not source.strip():
        raise BerthError("source: names nothing. Give a file, a glob or a folder.")
    files = _files(source)
    formats = {_format(path) for path in files}
    if len(formats) > 1:
        raise BerthError(
            f"source: {source} holds files of different formats ({', '.join(sorted(formats))}). Name one kind."
        )
    format = formats.pop()
    found: list[str] = []
    for path in files:
        there = _columns(path, format, columns)
        if found and there != found and format != "json":
            raise BerthError(
                f"{path}: its columns ({_list(there)}) are not those of {files[0].name} ({_list(found)}). "
                "Make them the same, or name one of the files."
            )
        found = there
        for field, column in (("text_column", text_column), ("label_column", label_column)):
            if column not in there:
                raise BerthError(
                    f"{field}: no column {column!r} in {path.name}.{nearest(column, there)} "
                    f"It has: {_list(there)}. For a file without a header row, name them with 'columns'."
                )
            if there.count(column) > 1:
                raise BerthError(f"{field}: {path.name} has several columns {column!r}. Rename all but one.")
    return Source(files, format, found, has_header=not columns)


def fingerprint(source: Source) -> str:
    """Return a SHA-256 over the names and the bytes of the source's files: it changes whenever a row may have."""
    digest = hashlib.sha256()
    for path in source.files:
        with path.open("rb") as stream:
            digest.update(f"{path.name}\0{hashlib.file_digest(stream, 'sha256').hexdigest()}\n".encode())
    return digest.hexdigest()


def _files(source: str) -> list[Path]:
    if "://" in source:
        raise BerthError(f"source: {source} is an address; Berth reads files of this machine. Copy it here first.")
    path = Path(source)
    if path.is_dir():
        files = sorted(found for found in path.rglob("*") if found.is_file() and not _hidden(found.relative_to(path)))
        if not files:
            raise BerthError(f"source: the folder {source} holds no files. Put {_KINDS} files there.")
    elif path.is_file():
        files = [path]
    else:
        files = sorted(Path(found) for found in glob.glob(source, recursive=True) if Path(found).is_file())  # noqa: PTH207
        if not files:
            kind = "file matches" if glob.has_magic(source) else "file"
            raise BerthError(f"source: no {kind} {source}. Paths are relative to the configuration file.")
    for found in files:
        try:
            with found.open("rb") as stream:
                empty = not stream.read(1)
        except OSError as error:
            raise BerthError(f"{found}: cannot be read ({error.strerror}). Mend its permissions.") from None
        if empty:
            raise BerthError(f"{found}: the file is empty. It needs a text and a label in each row.")
    return files


def _hidden(path: Path) -> bool:
    return any(part.startswith((".", "_")) for part in path.parts)


def _format(path: Path) -> str:
    suffixes = [suffix.lower() for suffix in path.suffixes]
    if suffixes and suffixes[-1] in COMPRESSIONS:
        suffixes.pop()
    if not suffixes or suffixes[-1] not in FORMATS:
        raise BerthError(f"{path}: its name does not say what it holds. Berth reads {_KINDS}.")
    return FORMATS[suffixes[-1]]


def _columns(path: Path, format: str, given: list[str]) -> list[str]:
    if format == "parquet":
        import pyarrow.parquet as pq
        from pyarrow import ArrowException

        try:
            return list(pq.read_schema(path).names)
        except (ArrowException, OSError) as error:
            raise BerthError(f"{path}: not a whole Parquet file ({_first_line(error)}). Write it anew.") from None
    lines = _text_lines(path)
    if format == "json":
        return _json_keys(path, lines)
    number, first = next(lines)
    if number > 1 and not given:
        raise BerthError(
            f"{path}: line 1 is blank, and the header row has to come first. Remove the blank lines above it."
        )
    if format == "tsv":
        if "\r" in first:
            raise BerthError(f"{path}: line {number}: {CARRIAGE_RETURN}")
        names = first.split(DELIMITERS[format])
    else:
        record = itertools.chain([first], (line for _, line in lines))  # a quoted text may go on in the next line
        try:
            names = next(csv.reader((f"{line}\n" for line in record), delimiter=DELIMITERS[format]))
        except csv.Error as error:
            raise BerthError(
                f"{path}: line {number} cannot be read ({error}). Close its quotes, and end lines with \\n or \\r\\n."
            ) from None
    if not given:
        return names
    if len(names) != len(given):
        raise BerthError(
            f"{path}: line {number} has {len(names)} columns, and 'columns' names {len(given)}: {', '.join(given)}."
        )
    return list(given)


def _json_keys(path: Path, lines: Iterator[tuple[int, str]]) -> list[str]:
    import json

    keys: dict[str, None] = {}
    for number, line in itertools.islice(lines, _KEYS_FROM):
        try:
            record = json.loads(line)
        except ValueError as error:
            raise BerthError(f"{path}: line {number} is not JSON ({error}). Write one JSON object a line.") from None
        if not isinstance(record, dict):
            raise BerthError(
                f'{path}: line {number} is no JSON object. Write one object a line, such as {{"text": "..."}}.'
            )
        keys.update(dict.fromkeys(record))
    return list(keys)


def _text_lines(path: Path) -> Iterator[tuple[int, str]]:
    """Yield the lines that are not blank with their numbers, without byte order mark and line end."""
    blank = True
    for number, line in enumerate(open_decompressed(path), start=1):
        text = line.removeprefix(codecs.BOM_UTF8).decode("utf-8", errors="replace")
        if text.strip():
            blank = False
            yield number, text.removesuffix("\n").removesuffix("\r")
    if blank:
        raise BerthError(f"{path}: the file holds blank lines only. It needs a text and a label in each row.")


def open_decompressed(path: Path) -> Iterator[bytes]:
    """Yield the lines of `path`, bytes with their line ends, decompressed by its ending.

    Raises:
        BerthError: the compressed file is damaged or cut short.
    """
    import io

    import pyarrow as pa

    compression = COMPRESSIONS.get(path.suffix.lower())
    try:
        with pa.input_stream(str(path), compression=compression) as stream:
            yield from io.BufferedReader(stream, _CHUNK)
    except (OSError, pa.ArrowException) as error:
        raise BerthError(f"{path}: cannot be read whole ({_first_line(error)}). Copy or compress it anew.") from None


def _list(columns: list[str]) -> str:
    """Return the names in one line; of a file without a header row they are a text, which may be long."""
    return ", ".join(f"{name[:_LONGEST_NAME]}..." if len(name) > _LONGEST_NAME else name for name in columns)


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
