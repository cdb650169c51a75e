"""The files of a source: formats, compression, streams."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa

from berth.errors import BerthError, first_line

FORMATS = {".csv": "csv", ".tsv": "tsv", ".txt": "tsv", ".jsonl": "json", ".ndjson": "json", ".parquet": "parquet"}
COMPRESSIONS = {".gz": "gzip", ".zst": "zstd"}
DELIMITERS = {"csv": ",", "tsv": "\t"}
KINDS = f"{', '.join(FORMATS)}, each also as {' or '.join(COMPRESSIONS)}"
CARRIAGE_RETURN = "a carriage return inside the row. Remove it, and end lines with \\n or \\r\\n."
_CHUNK = 1 << 20


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


def open_decompressed(file: File) -> Iterator[bytes]:
    """Yield the lines of `file`, bytes with their line ends, decompressed by its extension; raises as `opened` does."""
    import io

    with opened(file) as stream:
        yield from io.BufferedReader(stream, _CHUNK)


@contextlib.contextmanager
def opened(file: File) -> Iterator[Any]:
    """Open `file` as a stream of bytes, decompressed by its extension.

    Raises:
        BerthError: the compressed file is damaged or cut short.
    """
    try:
        with pa.input_stream(str(file.path), compression=COMPRESSIONS.get(file.path.suffix.lower())) as stream:
            yield stream
    except FileNotFoundError:
        raise BerthError(f"{file.uri}: removed while it was read. Run again.") from None
    except (OSError, pa.ArrowException) as error:
        raise BerthError(f"{file.uri}: cannot be read whole ({first_line(error)}). Copy or pack it again.") from None
