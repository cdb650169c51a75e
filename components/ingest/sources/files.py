"""The files of a source: formats, compression, streams."""

import contextlib
import io
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa

from berth.errors import BerthError, first_line

FORMATS = {".csv": "csv", ".tsv": "tsv", ".txt": "tsv", ".jsonl": "json", ".ndjson": "json", ".parquet": "parquet"}
COMPRESSIONS = {".gz": "gzip", ".zst": "zstd"}
DELIMITERS = {"csv": ",", "tsv": "\t"}
KINDS = f"{', '.join(FORMATS)}; all but Parquet also as {' or '.join(COMPRESSIONS)}"
CARRIAGE_RETURN = "a carriage return inside the row. Remove it, and end lines with \\n or \\r\\n."
LONGEST_ROW = 16 << 20
"""Bytes of the longest CSV or JSON row; with a longer one the file is treated as broken."""
_CHUNK = 1 << 20
_MAGIC = {
    b"\x1f\x8b": "gzip",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"BZh": "bzip2",
    b"\xfd7zXZ\x00": "xz",
    b"PK\x03\x04": "zip",
    b"\xd0\xcf\x11\xe0": "excel",
    b"PAR1": "parquet",
}
_PACKED = {
    "bzip2": "it is packed with bzip2",
    "xz": "it is packed with xz",
    "zip": "it is a ZIP archive or an Excel workbook",
    "excel": "it is an old Excel workbook",
    "parquet": "it is Parquet",
}


@dataclass(frozen=True)
class File:
    """One file of a source, on this machine; `uri` is the user's name for it."""

    uri: str
    path: Path
    size: int
    version: str
    """The ETag of a remote file, otherwise the time of its last change."""
    split: str = ""
    """The split that its rows belong to; empty: ingest assigns them."""
    encoding: str = field(default="", compare=False)
    """Python's name of its encoding; empty: UTF-8 as far as its start shows."""
    delimiter: str = field(default="", compare=False)
    """What separates the columns of a CSV or TSV."""
    skipped: int = field(default=0, compare=False)
    """Lines above the header row or the first row: comments, and Excel's `sep=;`."""


@dataclass(frozen=True)
class Rows:
    """The files of a source, all of one format (`csv`, `tsv`, `json` or `parquet`), and the columns they have."""

    files: list[File]
    format: str
    columns: list[str]
    has_header: bool
    notes: list[str] = field(default_factory=list)
    """What Berth decided where a file leaves room for doubt, one line each."""


def format_of(name: str) -> str:
    """Return the format that the extension of the file `name` gives; empty: none."""
    suffixes = [suffix.lower() for suffix in Path(name).suffixes]
    if suffixes and suffixes[-1] in COMPRESSIONS:
        suffixes.pop()
    return FORMATS.get(suffixes[-1], "") if suffixes else ""


def byte_lines(file: File) -> Iterator[bytes]:
    """Yield the lines of `file` as bytes with their line ends, decompressed; raises as `opened` does."""
    with opened(file) as stream:
        yield from io.BufferedReader(stream, _CHUNK)


def lines(file: File, errors: str = "replace") -> Iterator[str]:
    """Yield the lines of `file` decoded, with their line ends and without byte order marks; raises as `opened` does."""
    with opened(file) as stream:
        raw = io.BufferedReader(stream, _CHUNK)
        for line in io.TextIOWrapper(raw, encoding=file.encoding or "utf-8", errors=errors, newline="\n"):
            yield line.removeprefix("\ufeff")


def compression_of(path: Path) -> str:
    """Return the compression that the first bytes of the file show: `gzip`, `zstd`, or empty.

    A name may be wrong: web servers unpack what they send, and tools pack without renaming.
    """
    with path.open("rb") as stream:
        head = stream.read(8)
    return next((kind for magic, kind in _MAGIC.items() if head.startswith(magic)), "")


@contextlib.contextmanager
def opened(file: File) -> Iterator[pa.NativeFile]:
    """Open `file` as a stream of bytes, decompressed.

    Raises:
        BerthError: the file is compressed in a way that Berth does not read, damaged, or cut short.
    """
    try:
        kind = compression_of(file.path)
        if kind in _PACKED:
            raise BerthError(f"{file.uri}: {_PACKED[kind]}, whatever its name is. Berth reads {KINDS}.")
        with pa.input_stream(str(file.path), compression=kind or None) as stream:
            yield stream
    except FileNotFoundError:
        raise BerthError(f"{file.uri}: removed while it was read. Run again.") from None
    except (OSError, pa.ArrowException) as error:
        raise BerthError(f"{file.uri}: cannot be read whole ({first_line(error)}). Copy or pack it again.") from None
