"""Turn a source's files into one DuckDB table of raw rows."""

import codecs
import glob
import re
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from components.common.errors import BerthError
from components.ingest.source import CARRIAGE_RETURN, DELIMITERS, Source, open_decompressed

if TYPE_CHECKING:
    import duckdb

UNDECODABLE = "\ufdd0"
"""Stands for each byte that is not UTF-8: a code point that Unicode keeps free of characters."""
_LONGEST_ROW = 64 << 20
"""Bytes of a CSV or JSON row beyond which the file is taken to be broken."""

codecs.register_error("berth-mark", lambda error: (UNDECODABLE, error.start + 1))  # type: ignore[attr-defined]


def read_raw(connection: "duckdb.DuckDBPyConnection", source: Source, text_column: str, label_column: str) -> None:
    """Create the table `raw`: file (VARCHAR), file_number, row (1-based, header not counted), text, label (VARCHAR).

    Bytes that are not UTF-8 come as UNDECODABLE.

    Raises:
        BerthError: a file breaks the rules of its format; the message names the file and the line.
    """
    import duckdb

    connection.execute("CREATE TABLE raw (file VARCHAR, file_number INTEGER, row BIGINT, text VARCHAR, label VARCHAR)")
    with tempfile.TemporaryDirectory(prefix="berth-ingest-") as scratch:
        for number, path in enumerate(source.files):
            readable = path if source.format == "parquet" else _readable(path, source.format, Path(scratch))
            reader = _reader(source, readable, text_column, label_column)
            places = [_place(source, column) for column in (text_column, label_column)]
            try:
                described = connection.execute(f"DESCRIBE SELECT {', '.join(places)} FROM {reader}").fetchall()
                text, label = (
                    _as_text(path, column, place, type)
                    for column, place, (_, type, *_) in zip((text_column, label_column), places, described, strict=True)
                )
                connection.execute(
                    f"INSERT INTO raw SELECT ?, ?, row_number() OVER (), {text}, {label} FROM {reader}",
                    [str(path), number],
                )
            except duckdb.Error as error:
                raise BerthError(f"{path}: {_explain(str(error))}") from None


def quoted(name: str) -> str:
    """Return `name` as an SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def literal(value: str) -> str:
    """Return `value` as an SQL string."""
    return "'" + value.replace("'", "''") + "'"


def _place(source: Source, column: str) -> str:
    """Return the SQL name of `column`: by its place, since a header may repeat names or leave one out."""
    return quoted(column) if source.format == "json" else f"column{source.columns.index(column)}"


def _reader(source: Source, path: Path, text_column: str, label_column: str) -> str:
    """Return the DuckDB table function that reads `path`; nothing about it is guessed, nor read from its folders."""
    file = f"{literal(glob.escape(str(path)))}, hive_partitioning=false"
    places = [f"column{place}" for place in range(len(source.columns))]
    if source.format == "parquet":
        return f"read_parquet({file}) AS rows({', '.join(places)})"
    if source.format == "json":
        columns = ", ".join(f"{literal(name)}: 'VARCHAR'" for name in (text_column, label_column))
        return (
            f"read_json({file}, format='newline_delimited', columns={{{columns}}}, maximum_object_size={_LONGEST_ROW})"
        )
    # TSV has no quoting: real text messages hold stray double quotes, and would swallow each other.
    quote, escape = ('"', '"') if source.format == "csv" else ("", "")
    columns = ", ".join(f"{place}: 'VARCHAR'" for place in places)
    return (
        f"read_csv({file}, auto_detect=false, header={str(source.has_header).lower()}, columns={{{columns}}}, "
        f"delim={literal(DELIMITERS[source.format])}, quote={literal(quote)}, escape={literal(escape)}, "
        f"max_line_size={_LONGEST_ROW})"
    )


def _as_text(path: Path, column: str, place: str, type: str) -> str:
    """Return the SQL expression of a column's values as VARCHAR."""
    if type.endswith("]") or type.startswith(("STRUCT", "MAP", "UNION")):
        raise BerthError(f"{path}: the column {column!r} holds lists or records. Name one of texts or numbers.")
    if type == "BLOB":  # some writers of Parquet do not mark their texts as such
        return f"CASE WHEN {place} IS NOT NULL THEN coalesce(try(decode({place})), {literal(UNDECODABLE)}) END"
    return f"CAST({place} AS VARCHAR)"


def _readable(path: Path, format: str, scratch: Path) -> Path:
    """Return `path` where DuckDB reads it as it is, else a copy in UTF-8 with UNDECODABLE for what is not.

    The copy has no byte order mark, which DuckDB refuses in JSON. A TSV has one kind of line end in it.
    """
    if _is_plain(path, format):
        return path
    copy = scratch / path.name.removesuffix(".gz").removesuffix(".zst")
    with copy.open("w", encoding="utf-8", newline="") as stream:
        for number, line in enumerate(open_decompressed(path), start=1):
            text = line.removeprefix(codecs.BOM_UTF8).decode("utf-8", errors="berth-mark")
            if format == "tsv":
                text = text.removesuffix("\n").removesuffix("\r")
                if "\r" in text:
                    raise BerthError(f"{path}: line {number}: {CARRIAGE_RETURN}")
                text += "\n"
            stream.write(text)
    return copy


def _is_plain(path: Path, format: str) -> bool:
    line_ends = set()
    for number, line in enumerate(open_decompressed(path)):
        try:
            line.decode("utf-8")
        except UnicodeDecodeError:
            return False
        if format == "json" and number == 0 and line.startswith(codecs.BOM_UTF8):
            return False
        if format == "tsv":
            carriage_return = line.endswith(b"\r\n")
            line_ends.add(carriage_return)
            if len(line_ends) > 1 or line.count(b"\r") > carriage_return:
                return False
    return True


def _explain(error: str) -> str:
    """Return DuckDB's many lines about a malformed file as one that names the line, and shows nothing of its text."""
    first, *_ = error.splitlines()
    if json := re.search(r" in line (\d+): ([^:]+)", first):
        return f"line {json[1]}: not the JSON that is expected ({json[2].strip(' .')}). Mend the row."
    line = re.search(r"CSV Error on Line: (\d+)", error)
    where = f"line {line[1]}: " if line else ""
    if columns := re.search(r"Expected Number of Columns: (\d+) Found: (\d+)", error):
        return f"{where}{columns[2]} columns where {columns[1]} are expected. Quote the text, or mend the row."
    if "unterminated quote" in error.lower() or "unquoted value" in error.lower():
        return f"{where}a double quote that is never closed, or text after a closing one. Mend the row, or give a .tsv."
    if "Maximum line size" in error:
        return f"{where}a row of more than {_LONGEST_ROW >> 20} MB. Close its quotes, or cut the text."
    if "invalid state" in error:
        return "its lines do not end alike. End all of them with \\n, or all with \\r\\n."
    reason = first.removeprefix("Invalid Input Error: ")
    return f"{where}{reason}" if line is None else f"{where}not as the format wants it ({reason})."
