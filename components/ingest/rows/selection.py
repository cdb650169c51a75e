"""The query that selects the wanted columns of a file, each as text, whatever its own type."""

from collections.abc import Callable

import duckdb

from berth.errors import BerthError
from components.ingest.rows.encoding import UNDECODABLE
from components.ingest.rows.sql import literal, quoted, slices
from components.ingest.settings import IngestSettings
from components.ingest.sources.files import File, Rows

Text = Callable[[str], str]
"""From a field of the settings, such as text_column, to the SQL expression of its column's values as VARCHAR."""


def selected(
    connection: duckdb.DuckDBPyConnection, rows: Rows, file: File, reader: str, settings: IngestSettings
) -> str:
    """Return the query for what is read of `file` by the table function `reader`.

    Its columns are VARCHAR but for label0, which is a list with multi-label data, and moment: text0, pair0 (with pairs
    only), label0, given (the split that the source names), moment (TIMESTAMP), slice0, slice1, ...
    """
    places = {field: _place(rows, column) for field, column in settings.wanted.items()}
    described = connection.execute(f"DESCRIBE SELECT {', '.join(places.values())} FROM {reader}").fetchall()
    types = {field: type for field, (_, type, *_) in zip(places, described, strict=True)}

    def text(field: str) -> str:
        return _as_text(file, settings.wanted[field], places[field], types[field])

    if settings.task == "multi_label":
        label = _labels(places["label_column"], types["label_column"], text, settings.label_separator)
    else:
        label = text("label_column")
    columns = [f"{text('text_column')} AS text0"]
    if settings.text_pair_column:
        columns.append(f"{text('text_pair_column')} AS pair0")
    columns += [
        f"{label} AS label0",
        f"{_given(file, text, settings)} AS given",
        f"{_moment(text, settings)} AS moment",
    ]
    for number, name in enumerate(slices(settings)):
        value = f"coalesce({text(f'slice_columns[{number}]')}, '')"
        columns.append(f"replace({value}, {literal(UNDECODABLE)}, chr(65533)) AS {name}")
    return f"SELECT {', '.join(columns)} FROM {reader}"


def _labels(place: str, type: str, text: Text, separator: str) -> str:
    """Return the SQL expression of a row's labels, VARCHAR[]: a list already, or a text with separators."""
    separated = f"string_split(nullif(CAST({{0}} AS VARCHAR), ''), {literal(separator)})"
    if type.endswith("[]"):
        return f"CAST({place} AS VARCHAR[])"
    if type == "JSON":
        whole = f"({place} ->> '$')"
        return (
            f"CASE json_type({place}) WHEN 'ARRAY' THEN CAST({place} AS VARCHAR[]) WHEN 'NULL' THEN NULL "
            f"ELSE {separated.replace('{0}', whole)} END"
        )
    return separated.replace("{0}", text("label_column"))


def _given(file: File, text: Text, settings: IngestSettings) -> str:
    """Return the SQL expression of the split that the source names: by a column, by the file, or not at all."""
    if settings.split.by == "column":
        named = f"lower(trim({text('split.column')}))"
        return (
            f"CASE WHEN {named} IN ('dev', 'val', 'valid') THEN 'validation' WHEN {named} = 'training' THEN 'train' "
            f"ELSE coalesce({named}, '') END"
        )
    return literal(file.split) if file.split else "NULL::VARCHAR"


def _moment(text: Text, settings: IngestSettings) -> str:
    """Return the SQL expression of the row's time, from a date in text or from seconds since 1970."""
    if settings.split.by != "time":
        return "NULL::TIMESTAMP"
    stamp = text("split.column")
    return f"coalesce(try_cast({stamp} AS TIMESTAMP), make_timestamp((try_cast({stamp} AS DOUBLE) * 1e6)::BIGINT))"


def _place(rows: Rows, column: str) -> str:
    """Return the SQL name of `column`: by its place, since a header may repeat names or leave one out."""
    return quoted(column) if rows.format == "json" else f"column{rows.columns.index(column)}"


def _as_text(file: File, column: str, place: str, type: str) -> str:
    """Return the SQL expression of a column's values as VARCHAR."""
    if type.endswith("]") or type.startswith(("STRUCT", "MAP", "UNION")):
        raise BerthError(
            f"{file.uri}: the column {column!r} holds lists or records. Name one of texts or numbers; "
            "lists of labels need 'task: multi_label'."
        )
    if type == "BLOB":  # some writers of Parquet do not mark texts as strings
        return f"CASE WHEN {place} IS NOT NULL THEN coalesce(try(decode({place})), {literal(UNDECODABLE)}) END"
    return f"CAST({place} AS VARCHAR)"
