"""Read a source's files into one DuckDB table of rows, and clean them on the way."""

import dataclasses
import glob
from collections.abc import Callable
from pathlib import Path

import duckdb
from duckdb.func import FunctionNullHandling

from berth.data.cleaning import TextRules, unescape
from berth.errors import BerthError
from components.ingest.rows.cleaning import cleaned
from components.ingest.rows.duckdb_errors import explain, lack
from components.ingest.rows.encoding import has_mixed_ends, is_plain, readable
from components.ingest.rows.json_values import NESTED, NOT_AN_OBJECT
from components.ingest.rows.label_lists import labels_of
from components.ingest.rows.labels import check_mapped, cleaned_map
from components.ingest.rows.selection import selected
from components.ingest.rows.sql import literal
from components.ingest.settings import IngestSettings
from components.ingest.sources import json_lines
from components.ingest.sources.columns import text_lines
from components.ingest.sources.encodings import UTF_8, of_letters
from components.ingest.sources.files import LONGEST_ROW, File, Rows, compression_of


def read_rows(connection: duckdb.DuckDBPyConnection, rows: Rows, settings: IngestSettings, scratch: Path) -> list[int]:
    """Create the table `rows` and return the number of rows of each file.

    Its columns: file (the file's number), text, pair, label (multi-label: sorted, joined with BETWEEN), given (the
    split named in the source), moment (TIMESTAMP), slice0, slice1, ... (the slice_columns' values), changes
    (bits, see CHANGES), reason (why the row is not usable, or NULL), id (MD5 of text and pair) and key (the first 64
    bits of the SHA-256 of the seed and the normalised text and pair). Its rowid is the order of the source.

    Raises:
        BerthError: a file breaks the rules of its format, where the message names the file and the line; or no row
            has a label of label_map.
    """
    if settings.task == "multi_label":
        connection.create_function(
            "berth_labels", labels_of, ["VARCHAR"], "VARCHAR[]", null_handling=FunctionNullHandling.SPECIAL
        )
    if settings.cleaning.html_entities:
        rules = TextRules.of(dict(settings.cleaning))
        connection.create_function("berth_unescape", lambda text: unescape(text, rules), ["VARCHAR"], "VARCHAR")
    mapping = cleaned_map(connection, settings)
    counts: list[int] = []

    def read(number: int, path: Path) -> None:
        _read(connection, rows, number, path, settings, mapping)

    for number in range(len(rows.files)):
        _read_file(read, rows, number, scratch)
        ((total,),) = connection.execute("SELECT count(*) FROM rows").fetchall()
        counts.append(total - sum(counts))
        file = rows.files[number]
        if rows.format in ("csv", "tsv") and settings.label_column:
            _check_order(connection, file, number, settings)
        if rows.format == "csv" and settings.label_column:
            _check_swallowed(connection, rows, file, number, settings)
        elif rows.format == "json":
            _check_values(connection, file, number, total - counts[-1], settings)
    check_mapped(connection, mapping, settings)
    return counts


def _read_file(read: Callable[[int, Path], None], rows: Rows, number: int, scratch: Path) -> None:
    """Read the file `number`, if need be from a copy that DuckDB can read."""
    file, format = rows.files[number], rows.format
    if format == "parquet" or (format == "csv" and file.encoding in ("", UTF_8) and not file.skipped):
        try:
            read(number, file.path)
            return
        except BerthError:
            if format == "parquet":
                raise
            if is_plain(file, format):
                if not has_mixed_ends(file):
                    raise
                read(number, readable(file, format, scratch, repair=True))
                return
    if not file.encoding and not is_plain(file, format):
        encoding, note = of_letters(file)
        file = rows.files[number] = dataclasses.replace(file, encoding=encoding)
        rows.notes.extend([note] if note else [])
    try:
        read(number, readable(file, format, scratch))
    except BerthError as error:
        if format != "json" or "surrogate" not in str(error):
            raise
        read(number, readable(file, format, scratch, repair=True))


def _read(
    connection: duckdb.DuckDBPyConnection,
    rows: Rows,
    number: int,
    path: Path,
    settings: IngestSettings,
    mapping: dict[str, str],
) -> None:
    """Add the rows of the file `number`, whose bytes are at `path`, to the table `rows`."""
    file = rows.files[number]
    reader = _reader(rows, file, path)
    try:
        columns = selected(connection, rows, file, reader, settings)
        target = "INSERT INTO rows" if number else "CREATE TABLE rows AS"
        connection.execute(f"{target} {cleaned(number, columns, settings, mapping)}")
    except duckdb.Error as error:
        broken = "" if lack(error) or rows.format != "json" else json_lines.fault(file.uri, text_lines(file))
        raise BerthError(
            broken or f"{file.uri}: {lack(error) or explain(str(error), rows.format, file.skipped)}"
        ) from None


def _reader(rows: Rows, source: File, path: Path) -> str:
    """Return the DuckDB function that reads `source` at `path`; it neither guesses types nor uses folders' names."""
    file = literal(glob.escape(str(path)))
    places = [f"column{place}" for place in range(len(rows.columns))]
    if rows.format == "parquet":
        return f"read_parquet({file}, hive_partitioning=false) AS rows({', '.join(places)})"
    file += f", hive_partitioning=false, compression={literal(compression_of(path) or 'none')}"
    if rows.format == "json":
        return f"read_ndjson_objects({file}, maximum_object_size={LONGEST_ROW})"
    # TSV has no quoting: text messages contain stray double quotes, which would join several rows into one.
    quote, escape = ('"', '"') if rows.format == "csv" else ("", "")
    columns = ", ".join(f"{place}: 'VARCHAR'" for place in places)
    return (
        f"read_csv({file}, auto_detect=false, header={str(rows.has_header).lower()}, columns={{{columns}}}, "
        f"delim={literal(source.delimiter)}, quote={literal(quote)}, escape={literal(escape)}, "
        f"max_line_size={LONGEST_ROW})"
    )


def _check_values(
    connection: duckdb.DuckDBPyConnection, file: File, number: int, before: int, settings: IngestSettings
) -> None:
    """Raise if a row is not an object, or has a list or an object where a text or a label is expected."""
    found = connection.execute(
        f"""SELECT reason, count(*), min(rowid) - {before} + 1 FROM rows
        WHERE file = {number} AND reason IN ('{NOT_AN_OBJECT}', '{NESTED}') GROUP BY 1 ORDER BY 3"""
    ).fetchone()
    if not found:
        return
    reason, count, row = found
    line = json_lines.line_of(row, text_lines(file))
    if reason == NOT_AN_OBJECT:
        raise BerthError(
            f'{file.uri}: line {line} is not a JSON object. Write one object a line, such as {{"text": "..."}}.'
        )
    columns = ", ".join(settings.wanted.values())
    advice = "lists of labels need 'task: multi_label'"
    if settings.task == "multi_label":
        advice = "labels are one list of texts"
    raise BerthError(
        f"{file.uri}: {count:,} rows have a list or an object where one text or label is expected ({columns}), the "
        f"first in line {line}. Name a field of an object, such as label.name; {advice}."
    )


def _check_order(connection: duckdb.DuckDBPyConnection, file: File, number: int, settings: IngestSettings) -> None:
    """Raise if a header further down has the columns in another order: what follows it is read the wrong way round.

    A class may have the name of the text column; then not all of its texts are the name of the label column.
    """
    names = [settings.label_column, settings.text_column]
    found = connection.execute(
        f"""SELECT bool_and(text = ?), min(rowid) - (SELECT min(rowid) FROM rows WHERE file = {number}) + 1
        FROM rows WHERE file = {number} AND label = ?""",
        names,
    ).fetchone()
    if found and found[0]:
        raise BerthError(
            f"{file.uri}: row {found[1]:,} is a header with the columns in another order ({', '.join(names)}). "
            "Split the file there."
        )


def _check_swallowed(
    connection: duckdb.DuckDBPyConnection, rows: Rows, file: File, number: int, settings: IngestSettings
) -> None:
    """Raise if texts contain lines that look like rows: a stray double quote has swallowed them."""
    place = rows.columns.index(settings.label_column)
    from_end = place - len(rows.columns)
    swallowed, first = connection.execute(
        f"""
        WITH multi AS (
            SELECT rowid AS rid, unnest(string_split(text, chr(10))[2:]) AS line
            FROM rows WHERE file = {number} AND contains(text, chr(10))
        ), parts AS (SELECT rid, string_split(line, {literal(file.delimiter)}) AS parts FROM multi),
        labels AS (SELECT DISTINCT label FROM rows WHERE file = {number} AND label <> '')
        SELECT count(*), min(rid) - (SELECT min(rowid) FROM rows WHERE file = {number}) + 1 FROM parts
        WHERE len(parts) >= {len(rows.columns)}
            AND trim(parts[{place + 1 if place == 0 else from_end}]) IN (SELECT label FROM labels)
        """
    ).fetchall()[0]
    if swallowed:
        raise BerthError(
            f"{file.uri}: {swallowed:,} rows are swallowed by stray double quotes, the first in row {first:,}. "
            "Double the quotes inside texts, or save the file as .tsv, which has no quoting."
        )
