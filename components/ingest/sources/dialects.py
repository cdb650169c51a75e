"""The dialect of a CSV or TSV file: its delimiter, and the lines above its header."""

import csv
import itertools
import re
from collections.abc import Iterable, Iterator
from dataclasses import replace

from berth.errors import BerthError
from components.ingest.settings import IngestSettings
from components.ingest.sources.files import CARRIAGE_RETURN, DELIMITERS, LONGEST_ROW, File, lines

_OTHERS = {";": "a semicolon", "\t": "a tab", "|": "a bar"}
"""Delimiters that a .csv has where its name does not say so; a .tsv has no quoting, so it has tabs only."""
_EXCEL = re.compile(r"\"?sep=(.)\"?\s*")
_RECORDS = 100
"""Rows of a file without a header row that its delimiter is told from."""


def with_dialect(file: File, format: str, settings: IngestSettings, notes: list[str]) -> File:
    """Return `file` with its delimiter and the number of lines above its header row, or above its first row.

    Raises:
        BerthError: the header row cannot be read.
    """
    delimiter, skipped = _preamble(file, format, settings)
    if not delimiter:
        delimiter = DELIMITERS[format]
        file = replace(file, delimiter=delimiter, skipped=skipped)
        if format == "csv":
            delimiter = _without_header(file, settings, notes) if settings.columns else _of_header(file, settings)
    return replace(file, delimiter=delimiter, skipped=skipped)


def header(file: File, format: str) -> tuple[int, list[str]]:
    """Return the number of the line where the first row of `file` begins, and its fields.

    Raises:
        BerthError: it cannot be read.
    """
    below = enumerate(itertools.islice(lines(file), file.skipped, None), start=file.skipped + 1)
    numbered = ((number, line) for number, line in below if line.strip())
    number, first = next(numbered, (0, ""))
    if not number:
        raise BerthError(f"{file.uri}: the file holds blank lines only. It needs a text and a label in each row.")
    if format == "tsv":
        if "\r" in first.rstrip("\r\n"):
            raise BerthError(f"{file.uri}: line {number}: {CARRIAGE_RETURN}")
        return number, first.rstrip("\r\n").split(file.delimiter)
    record = itertools.chain([first], (line for _, line in numbered))  # a quoted text may continue on the next line
    try:
        return number, next(_records(record, file.delimiter))
    except csv.Error as error:
        raise BerthError(
            f"{file.uri}: line {number} cannot be read ({error}). Close its quotes, and end lines with \\n or \\r\\n."
        ) from None


def _preamble(file: File, format: str, settings: IngestSettings) -> tuple[str, int]:
    """Return the delimiter that Excel's line `sep=;` names, or empty, and the lines above the header row.

    Lines that begin with # are comments where the line below them is a header row: a text may begin with # as well.
    """
    delimiter, skipped = "", 0
    above = iter(lines(file))
    line = next(above, "")
    if format == "csv" and (named := _EXCEL.fullmatch(line)):
        delimiter, skipped, line = named[1], 1, next(above, "")
    candidates = [delimiter] if delimiter else [DELIMITERS[format], *(_OTHERS if format == "csv" else ())]
    comments = 0
    while line and not settings.columns and (line.startswith("#") or (comments and not line.strip())):
        if any(_has_wanted(line, one, settings) for one in candidates):
            return delimiter, skipped + comments
        comments, line = comments + 1, next(above, "")
    if comments and any(_has_wanted(line, one, settings) for one in candidates):
        skipped += comments
    return delimiter, skipped


def _of_header(file: File, settings: IngestSettings) -> str:
    """Return the delimiter that makes the header row one with the wanted columns; a comma if none does."""
    _, names = header(file, "csv")
    if set(settings.wanted.values()) <= set(names):
        return file.delimiter
    for delimiter in _OTHERS:
        _, names = header(replace(file, delimiter=delimiter), "csv")
        if set(settings.wanted.values()) <= set(names):
            return delimiter
    return file.delimiter


def _without_header(file: File, settings: IngestSettings, notes: list[str]) -> str:
    """Return the delimiter that gives each of the first rows as many fields as there are columns."""
    for delimiter in (file.delimiter, *_OTHERS):
        rows = _records(itertools.islice(lines(file), file.skipped, None), delimiter)
        try:
            if all(len(fields) in (0, len(settings.columns)) for fields in itertools.islice(rows, _RECORDS)):
                break
        except csv.Error:
            continue
    else:
        return file.delimiter
    if delimiter != file.delimiter:
        notes.append(
            f"{file.uri}: read with {_OTHERS[delimiter]} between columns: then each row has those of 'columns'."
        )
    return delimiter


def _has_wanted(line: str, delimiter: str, settings: IngestSettings) -> bool:
    try:
        return set(settings.wanted.values()) <= set(next(_records([line], delimiter), []))
    except csv.Error:
        return False


def _records(rows: Iterable[str], delimiter: str) -> Iterator[list[str]]:
    csv.field_size_limit(LONGEST_ROW)
    return csv.reader((f"{row.rstrip(chr(13) + chr(10))}\n" for row in rows), delimiter=delimiter)
