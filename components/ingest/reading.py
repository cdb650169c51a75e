"""Turn a source's files into one DuckDB table of raw rows."""

import codecs
import re
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from components.common.errors import BerthError
from components.ingest.source import DELIMITERS, Source, open_decompressed

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
    text, label = (f"CAST({quoted(column)} AS VARCHAR)" for column in (text_column, label_column))
    with tempfile.TemporaryDirectory(prefix="berth-ingest-") as scratch:
        for number, path in enumerate(source.files):
            readable = path if source.format == "parquet" else _decodable(path, Path(scratch))
            rows = (
                f"SELECT {text} AS text, {label} AS label FROM {_reader(source, readable, text_column, label_column)}"
            )
            try:
                connection.execute(
                    f"INSERT INTO raw SELECT ?, ?, row_number() OVER (), text, label FROM ({rows})", [str(path), number]
                )
            except duckdb.Error as error:
                raise BerthError(f"{path}: {_explain(str(error))}") from None


def quoted(name: str) -> str:
    """Return `name` as an SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def literal(value: str) -> str:
    """Return `value` as an SQL string."""
    return "'" + value.replace("'", "''") + "'"


def _reader(source: Source, path: Path, text_column: str, label_column: str) -> str:
    """Return the DuckDB table function that reads `path`; nothing about it is guessed."""
    file = literal(str(path))
    if source.format == "parquet":
        return f"read_parquet({file})"
    if source.format == "json":
        columns = ", ".join(f"{literal(name)}: 'VARCHAR'" for name in (text_column, label_column))
        return (
            f"read_json({file}, format='newline_delimited', columns={{{columns}}}, maximum_object_size={_LONGEST_ROW})"
        )
    # TSV has no quoting: real text messages hold stray double quotes, and would swallow each other.
    quote, escape = ('"', '"') if source.format == "csv" else ("", "")
    columns = ", ".join(f"{literal(name)}: 'VARCHAR'" for name in source.columns)
    return (
        f"read_csv({file}, auto_detect=false, header={str(source.has_header).lower()}, columns={{{columns}}}, "
        f"delim={literal(DELIMITERS[source.format])}, quote={literal(quote)}, escape={literal(escape)}, "
        f"max_line_size={_LONGEST_ROW})"
    )


def _decodable(path: Path, scratch: Path) -> Path:
    """Return `path` where it is UTF-8 throughout, else a copy in which UNDECODABLE stands for what is not."""
    try:
        for line in open_decompressed(path):
            line.decode("utf-8")
        return path
    except UnicodeDecodeError:
        copy = scratch / f"{path.name.removesuffix('.gz').removesuffix('.zst')}"
        with copy.open("w", encoding="utf-8", newline="") as stream:
            for line in open_decompressed(path):
                stream.write(line.decode("utf-8", errors="berth-mark"))
        return copy


def _explain(error: str) -> str:
    """Return DuckDB's many lines about a malformed file as one that names the line of the file."""
    line = re.search(r"(?:CSV Error on Line: |in line )(\d+)", error)
    where = f"line {line[1]}: " if line else ""
    if columns := re.search(r"Expected Number of Columns: (\d+) Found: (\d+)", error):
        return f"{where}{columns[2]} columns where {columns[1]} are expected. Quote the text, or mend the row."
    if "unterminated quote" in error.lower() or "unquoted value" in error.lower():
        return f"{where}a double quote that is never closed, or text after a closing one. Mend the row, or give a .tsv."
    reason = error.splitlines()[0].removeprefix("Invalid Input Error: ")
    return f"{where}{reason}" if line is None else f"{where}not as the format wants it ({reason})."
