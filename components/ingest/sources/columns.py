"""The format and the columns of a source's files."""

import dataclasses
from collections.abc import Iterator

import pyarrow as pa
import pyarrow.parquet as pq

from berth.errors import BerthError, first_line, nearest
from components.ingest.settings import IngestSettings
from components.ingest.sources import dialects, encodings, json_lines
from components.ingest.sources.files import (
    COMPRESSIONS,
    DELIMITERS,
    KINDS,
    File,
    Rows,
    compression_of,
    format_of,
    lines,
)

_LONGEST_NAME = 60


def inspect(files: list[File], settings: IngestSettings) -> Rows:
    """Return the files with their format and columns; files without a byte are left out, as jobs write them."""
    empty = [file for file in files if not file.path.stat().st_size]
    if len(empty) == len(files):
        raise BerthError(f"{files[0].uri}: the file is empty. It needs a text and a label in each row.")
    files = [file for file in files if file not in empty]
    formats = {_format(file) for file in files}
    if len(formats) > 1:
        raise BerthError(f"source: holds files of different formats ({', '.join(sorted(formats))}). Name one kind.")
    format = formats.pop()
    notes = [f"{file.uri}: the file is empty, and is left out." for file in empty]
    if format != "parquet":
        files = [with_encoding(file, settings.encoding, notes) for file in files]
    if format in DELIMITERS:
        files = [dialects.with_dialect(file, format, settings, notes) for file in files]
    found: list[str] = []
    for file in files:
        there = _columns(file, format, settings)
        if found and there != found and format != "json":
            raise BerthError(
                f"{file.uri}: its columns ({_list(there)}) are not those of {files[0].path.name} ({_list(found)}). "
                "Make them the same, or name one of the files."
            )
        found = there
        name = file.path.name if file.path.name in file.uri else file.uri
        check_columns(name, [*there, *_record_fields(file, format)], settings)
    return Rows(files, format, found, has_header=not settings.columns, notes=notes)


def check_columns(name: str, there: list[str], settings: IngestSettings) -> None:
    for setting, column in settings.wanted.items():
        field = setting.partition("[")[0]
        if column not in there:
            raise BerthError(
                f"{field}: no column {column!r} in {name}.{nearest(column, there)} "
                f"It has: {_list(there)}.{_delimiter_hint(there)}"
            )
        if there.count(column) > 1:
            raise BerthError(f"{field}: {name} has several columns {column!r}. Rename all but one.")


def _record_fields(file: File, format: str) -> list[str]:
    """Return the fields of the records in a Parquet file, as `label.name`."""
    found: list[str] = []

    def add(prefix: str, type: pa.DataType) -> None:
        for field in type if pa.types.is_struct(type) else ():
            found.append(f"{prefix}.{field.name}")
            add(found[-1], field.type)

    for column in pq.read_schema(file.path) if format == "parquet" else ():
        add(column.name, column.type)
    return found


def _delimiter_hint(columns: list[str]) -> str:
    """Return advice for columns that are not found: another delimiter does not make a .csv of a .tsv."""
    for delimiter, means in ((",", "a comma"), (";", "a semicolon"), ("|", "a bar"), ("\t", "a tab")):
        if len(columns) == 1 and delimiter in columns[0]:
            return f" They look delimited by {means}. A .csv may be, a .tsv has tabs: check the name and the columns."
    return " For a file without a header row, name them with 'columns'."


def _format(file: File) -> str:
    if format := format_of(file.path.name):
        return format
    raise BerthError(f"{file.uri}: its name does not say what it holds. Berth reads {KINDS}.")


def _columns(file: File, format: str, settings: IngestSettings) -> list[str]:
    path, name, given = file.path, file.uri, settings.columns
    if format == "parquet":
        if (packed := compression_of(path)) in COMPRESSIONS.values():
            raise BerthError(f"{name}: Parquet inside {packed}. Unpack it: Parquet is compressed inside.")
        try:
            schema = pq.read_schema(path)
        except (pa.ArrowException, OSError) as error:
            raise BerthError(f"{name}: not a whole Parquet file ({first_line(error)}). Write it again.") from None
        return list(schema.names)
    if format == "json":
        return json_lines.keys(name, text_lines(file), settings.wanted.values())
    number, names = dialects.header(file, format)
    if number > file.skipped + 1 and not given:
        raise BerthError(
            f"{name}: line {file.skipped + 1} is blank, and the header row has to come first. "
            "Remove the blank lines above it."
        )
    if not given:
        return names
    _check_first_row(f"{name}: line {number}", names, settings)
    return list(given)


def _check_first_row(where: str, row: list[str], settings: IngestSettings) -> None:
    """Raise unless a first row without a header fits `columns`; a header there would become a row of data."""
    given = settings.columns
    if len(row) != len(given):
        raise BerthError(f"{where} has {len(row)} columns, and 'columns' names {len(given)}: {', '.join(given)}.")
    wanted = [place for place, column in enumerate(given) if column in settings.wanted.values()]
    found, names = ([one.strip().lower() for one in cells] for cells in (row, given))
    if sorted(found) == sorted(names) or (wanted and all(found[place] == names[place] for place in wanted)):
        raise BerthError(
            f"{where} is a header row ({_list(row)}), and 'columns' is for files without one. Leave 'columns' out."
        )


def text_lines(file: File) -> Iterator[tuple[int, str]]:
    """Yield the lines that are not blank with their numbers, without byte order mark and line end."""
    blank = True
    for number, line in enumerate(lines(file), start=1):
        if line.strip():
            blank = False
            yield number, line.removesuffix("\n").removesuffix("\r")
    if blank:
        raise BerthError(f"{file.uri}: the file holds blank lines only. It needs a text and a label in each row.")


def with_encoding(file: File, given: str, notes: list[str]) -> File:
    """Return `file` with its encoding: what its first bytes say for certain, else `given`, else what is likely."""
    encoding = encodings.of_head(file)
    if given and encoding in ("", "legacy"):
        encoding = given
    elif encoding == "legacy":
        encoding, note = encodings.of_letters(file)
        notes += [note] if note else []
    return dataclasses.replace(file, encoding=encoding)


def _list(columns: list[str]) -> str:
    """Return the names in one line, shortened: without a header row they are texts, which may be long."""
    return ", ".join(f"{name[:_LONGEST_NAME]}..." if len(name) > _LONGEST_NAME else name for name in columns)
