"""Find a source's files, tell their format, and name their columns."""

import csv
import glob
import hashlib
from dataclasses import dataclass
from pathlib import Path

from components.common.errors import BerthError, nearest

FORMATS = {".csv": "csv", ".tsv": "tsv", ".jsonl": "json", ".ndjson": "json", ".parquet": "parquet"}
COMPRESSIONS = {".gz": "gzip", ".zst": "zstd"}
DELIMITERS = {"csv": ",", "tsv": "\t"}
_KINDS = f"{', '.join(FORMATS)}, each also as {' or '.join(COMPRESSIONS)}"
_CHUNK = 1 << 20


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
        if found and there != found:
            raise BerthError(
                f"{path}: its columns ({', '.join(there)}) are not those of {files[0].name} ({', '.join(found)}). "
                "Make them the same, or name one of the files."
            )
        found = there
    for field, column in (("text_column", text_column), ("label_column", label_column)):
        if column not in found:
            raise BerthError(
                f"{field}: no column {column!r} in {files[0].name}.{nearest(column, found)} "
                f"It has: {', '.join(found)}. For a file without a header row, name them with 'columns'."
            )
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
    line = _first_text_line(path)
    if format == "json":
        import json

        try:
            record = json.loads(line)
        except ValueError as error:
            raise BerthError(f"{path}: line 1 is not JSON ({error}). Write one JSON object a line.") from None
        if not isinstance(record, dict):
            raise BerthError(f'{path}: line 1 is no JSON object. Write one object a line, such as {{"text": "..."}}.')
        return list(record)
    quoting = {"quoting": csv.QUOTE_NONE} if format == "tsv" else {}
    names = next(csv.reader([line], delimiter=DELIMITERS[format], **quoting), [])  # type: ignore[arg-type]
    if not given:
        return names
    if len(names) != len(given):
        raise BerthError(
            f"{path}: line 1 has {len(names)} columns, and 'columns' names {len(given)}: {', '.join(given)}."
        )
    return list(given)


def _first_text_line(path: Path) -> str:
    """Return the first line that is not blank, without a byte order mark."""
    for line in open_decompressed(path):
        if line.strip(b"\xef\xbb\xbf \t\r\n"):
            return line.decode("utf-8-sig", errors="replace").rstrip("\r\n")
    raise BerthError(f"{path}: the file holds blank lines only. It needs a text and a label in each row.")


def open_decompressed(path: Path):  # type: ignore[no-untyped-def]
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


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
