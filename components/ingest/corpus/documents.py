"""Text files as documents: a whole file is one, or what stands between blank lines is."""

import dataclasses
from collections.abc import Iterable, Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from berth.errors import BerthError
from components.ingest.rows.encoding import is_plain
from components.ingest.settings import CorpusSettings
from components.ingest.sources.columns import with_encoding
from components.ingest.sources.encodings import of_letters
from components.ingest.sources.files import LONGEST_ROW, File, Rows, format_of, lines
from components.ingest.sources.source import fetched_files

TEXT = "text"
_TABLES = ("csv", "json", "parquet")
_SCHEMA = pa.schema({TEXT: pa.string()})
_BATCH_CHARACTERS, _BATCH_DOCUMENTS = 4_000_000, 10_000


def store_documents(settings: CorpusSettings, scratch: Path) -> tuple[Rows, list[File]]:
    """Write the documents of the source's text files to one Parquet file in `scratch`, in the order of the files.

    Returns that file, as a source of rows with the column TEXT, and the files that it was made from.

    Raises:
        BerthError: a file is not one of text, or a document is too long.
    """
    notes: list[str] = []
    files: list[File] = []
    path = scratch / "documents.parquet"

    def documents() -> Iterator[str]:
        for found in fetched_files(settings, scratch):
            file = _decodable(found, settings, notes)
            files.append(file)
            yield from _of_file(file, whole=settings.documents == "file")
            if file.uri != str(file.path):  # a copy of a file in a store
                file.path.unlink()

    with pq.ParquetWriter(path, _SCHEMA, compression="zstd", use_dictionary=False) as writer:
        for batch in _batches(documents()):
            writer.write_table(pa.table({TEXT: batch}, schema=_SCHEMA))
    stored = File(settings.source.files, path, path.stat().st_size, "")
    return Rows([stored], "parquet", [TEXT], has_header=True, notes=notes), files


def _decodable(file: File, settings: CorpusSettings, notes: list[str]) -> File:
    """Return `file` with its encoding."""
    name = file.path.name.lower()
    if format_of(name) in _TABLES or ".tsv" in name[-8:]:
        raise BerthError(
            f"{file.uri}: documents: {settings.documents} is for text files, and its name says that it is a table. "
            "Set documents: row, and text_column."
        )
    file = with_encoding(file, settings.encoding, notes)
    if not file.encoding and not is_plain(file, "text"):
        encoding, note = of_letters(file)
        notes += [note] if note else []
        file = dataclasses.replace(file, encoding=encoding)
    return file


def _of_file(file: File, whole: bool) -> Iterator[str]:
    """Yield the file's documents; a byte that is not text is marked, for the rule about undecodable bytes."""
    waiting: list[str] = []
    size = 0
    for number, line in enumerate(lines(file, errors="berth-mark"), start=1):
        if not whole and not line.strip():
            if waiting:
                yield "".join(waiting)
            waiting, size = [], 0
            continue
        waiting.append(line)
        size += len(line)
        if size > LONGEST_ROW:
            advice = "Set documents: blank_line, or split the file." if whole else "Put blank lines into it."
            raise BerthError(
                f"{file.uri}: line {number}: a document of more than {LONGEST_ROW >> 20} million characters. {advice}"
            )
    if waiting or whole:
        yield "".join(waiting)


def _batches(documents: Iterable[str]) -> Iterator[list[str]]:
    waiting: list[str] = []
    size = 0
    for document in documents:
        waiting.append(document)
        size += len(document)
        if size >= _BATCH_CHARACTERS or len(waiting) == _BATCH_DOCUMENTS:
            yield waiting
            waiting, size = [], 0
    yield waiting
