"""SQL names and literals."""

from components.ingest.settings import IngestSettings

BETWEEN = "\x1f"
"""Separates the labels of a text that has several."""


def quoted(name: str) -> str:
    """Return `name` as an SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def literal(value: str) -> str:
    """Return `value` as an SQL string; in DuckDB only the quote needs escaping."""
    return "'" + value.replace("'", "''") + "'"


def slices(settings: IngestSettings) -> list[str]:
    """Return the SQL names of the slice columns; their own names may be any text."""
    return [f"slice{number}" for number in range(len(settings.slice_columns))]


def whole_number(value: str) -> str:
    """Return the SQL expression of a number as text: 1.0 is written 1, as in formats without types, and NaN is NULL."""
    number = f"try_cast({value} AS DOUBLE)"
    return (
        f"CASE WHEN isnan({number}) THEN NULL WHEN abs({number}) < 9007199254740992 AND {number} = floor({number}) "
        f"THEN CAST(try_cast({number} AS BIGINT) AS VARCHAR) ELSE CAST({value} AS VARCHAR) END"
    )
