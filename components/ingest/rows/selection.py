"""The query that selects the wanted columns of a file, each as text, whatever its own type."""

from dataclasses import dataclass

import duckdb

from berth.errors import BerthError
from components.ingest.rows import json_values
from components.ingest.rows.encoding import UNDECODABLE
from components.ingest.rows.label_lists import LIKE_A_LIST
from components.ingest.rows.sql import literal, slices, whole_number
from components.ingest.settings import IngestSettings
from components.ingest.sources.files import File, Rows

UNREADABLE_LABELS = "unreadable list of labels"
REPEATED_HEADER = "repeated header"
NO_LABEL = "'-'"
"""The SQL expression of the label of rows that have none: one for all."""


@dataclass(frozen=True)
class Selection:
    """SQL expressions for what is read of a file."""

    reader: str
    """What they are selected from."""
    texts: dict[str, str]
    """By the settings' field that names a column: its values as VARCHAR."""
    label: str
    """The label as VARCHAR; for multi-label data a list, VARCHAR[]."""
    fault: str
    """Why a row cannot be used; NULL if there is no reason."""


def selected(
    connection: duckdb.DuckDBPyConnection, rows: Rows, file: File, reader: str, settings: IngestSettings
) -> str:
    """Return the query for what is read of `file` by the table function `reader`.

    Its columns are VARCHAR but for label0, which is a list with multi-label data, and moment: text0, pair0 (with pairs
    only), label0, given (the split that the source names), moment (TIMESTAMP), fault, slice0, slice1, ...
    """
    if rows.format == "json":
        found = _of_json(reader, settings)
    else:
        found = _of_columns(connection, rows, file, reader, settings)
    columns = [f"{found.texts['text_column']} AS text0"]
    if settings.text_pair_column:
        columns.append(f"{found.texts['text_pair_column']} AS pair0")
    columns += [
        f"{found.label} AS label0",
        f"{_given(file, found.texts, settings)} AS given",
        f"{_moment(found.texts, settings)} AS moment",
        f"{found.fault} AS fault",
    ]
    for number, name in enumerate(slices(settings)):
        value = f"coalesce({found.texts[f'slice_columns[{number}]']}, '')"
        columns.append(f"replace({value}, {literal(UNDECODABLE)}, chr(65533)) AS {name}")
    return f"SELECT {', '.join(columns)} FROM {found.reader}"


def _of_json(reader: str, settings: IngestSettings) -> Selection:
    reader = json_values.reader(reader, settings)
    texts = {field: json_values.text(field, settings) for field in settings.wanted}
    fault = json_values.fault(settings)
    if not settings.label_column:
        return Selection(reader, texts, NO_LABEL, fault)
    if settings.task != "multi_label":
        return Selection(reader, texts, texts["label_column"], fault)
    labels, unreadable = _in_one_text(texts["label_column"], settings.label_separator)
    return Selection(
        reader,
        texts,
        f"CASE json_type(label_list) WHEN 'ARRAY' THEN {json_values.labels()} ELSE {labels} END",
        f"coalesce({fault}, CASE WHEN label_list IS NULL THEN {unreadable} END)",
    )


def _of_columns(
    connection: duckdb.DuckDBPyConnection, rows: Rows, file: File, reader: str, settings: IngestSettings
) -> Selection:
    places = {field: _place(rows, column) for field, column in settings.wanted.items()}
    described = connection.execute(f"DESCRIBE SELECT {', '.join(places.values())} FROM {reader}").fetchall()
    types = {field: type for field, (_, type, *_) in zip(places, described, strict=True)}
    several, label_type = settings.task == "multi_label", types.get("label_column", "")
    lists = several and label_type.endswith("[]") and not label_type.startswith(("STRUCT", "MAP", "UNION"))
    texts = {
        field: _as_text(file, settings.wanted[field], place, types[field])
        for field, place in places.items()
        if not (lists and field == "label_column")
    }
    header = _repeated_header(rows, places, settings)
    if not settings.label_column:
        return Selection(reader, texts, NO_LABEL, header)
    if not several:
        return Selection(reader, texts, texts["label_column"], header)
    if lists:
        items = _as_text(file, settings.label_column, "item", label_type.removesuffix("[]"))
        label = f"list_transform({places['label_column']}, lambda item: {items})"
        return Selection(reader, texts, label, "NULL::VARCHAR")
    label, fault = _in_one_text(texts["label_column"], settings.label_separator)
    return Selection(reader, texts, f"coalesce({label}, [])", f"coalesce({header}, {fault})")


def _repeated_header(rows: Rows, places: dict[str, str], settings: IngestSettings) -> str:
    """Return the SQL expression of the fault of a row that repeats the header, as where files were put together."""
    if rows.format == "parquet":
        return "NULL::VARCHAR"
    fields = [field for field in ("label_column", "text_column", "text_pair_column") if field in places]
    same = " AND ".join(f"{places[field]} = {literal(settings.wanted[field])}" for field in fields)
    return f"CASE WHEN {same} THEN '{REPEATED_HEADER}' END"


def _in_one_text(text: str, separator: str) -> tuple[str, str]:
    """Return the SQL expressions of the labels in the text `text`, VARCHAR[], and of why they cannot be read.

    They are a list that was written as text, or have separators between them; an empty text means that there is none.
    A list that cannot be read stays whole, to be shown.
    """
    is_list = f"regexp_full_match({text}, '{LIKE_A_LIST}', 's')"
    separated = f"string_split(nullif({text}, ''), {literal(separator)})"
    labels = f"CASE WHEN {is_list} THEN coalesce(berth_labels({text}), [{text}]) ELSE {separated} END"
    labels = f"CASE WHEN {text} = '' THEN [] ELSE {labels} END"
    return labels, f"CASE WHEN {is_list} AND berth_labels({text}) IS NULL THEN '{UNREADABLE_LABELS}' END"


def _given(file: File, texts: dict[str, str], settings: IngestSettings) -> str:
    """Return the SQL expression of the split that the source names: by a column, by the file, or not at all."""
    if settings.split.by == "column":
        named = f"lower(trim({texts['split.column']}))"
        return (
            f"CASE WHEN {named} IN ('dev', 'val', 'valid') THEN 'validation' WHEN {named} = 'training' THEN 'train' "
            f"ELSE coalesce({named}, '') END"
        )
    return literal(file.split) if file.split else "NULL::VARCHAR"


def _moment(texts: dict[str, str], settings: IngestSettings) -> str:
    """Return the SQL expression of the row's time; NULL if it cannot be read for certain, as 01/02/2024."""
    if settings.split.by != "time":
        return "NULL::TIMESTAMP"
    stamp = f"trim({texts['split.column']})"
    if settings.split.time_format:
        return f"CAST(try_strptime({stamp}, {literal(settings.split.time_format)}) AS TIMESTAMP)"
    number = f"try_cast({stamp} AS DOUBLE)"
    # Seconds until the year 5138, then milliseconds, microseconds and nanoseconds, each from 1973 on.
    micro = f"{number} * CASE WHEN abs({number}) < 1e11 THEN 1e6 WHEN abs({number}) < 1e14 THEN 1e3 "
    micro += f"WHEN abs({number}) < 1e17 THEN 1 ELSE 1e-3 END"
    # TIMESTAMPTZ, in the session's UTC, heeds an offset; TIMESTAMP does not. Only it is strict about what comes after.
    moment = f"CASE WHEN isfinite(try_cast({stamp} AS TIMESTAMPTZ)) THEN try_cast({stamp} AS TIMESTAMPTZ) END"
    compact = f"CASE WHEN regexp_full_match({stamp}, '(19|20)[0-9]{{6}}') THEN try_strptime({stamp}, '%Y%m%d') END"
    since = f"CASE WHEN abs({number}) < 1e20 THEN make_timestamp(try_cast({micro} AS BIGINT)) END"
    return f"coalesce(CAST({moment} AS TIMESTAMP), {compact}, {since})"


def _place(rows: Rows, column: str) -> str:
    """Return the SQL expression of `column`: by its place, since a header may repeat names or leave one out.

    `label.name` is the field `name` of the column `label`, unless a column has that name.
    """
    name, fields = column, list[str]()
    while name not in rows.columns:
        name, _, field = name.rpartition(".")
        fields.insert(0, field)
    return f"column{rows.columns.index(name)}" + "".join(f"[{literal(field)}]" for field in fields)


def _as_text(file: File, column: str, place: str, type: str) -> str:
    """Return the SQL expression of a column's values as VARCHAR."""
    if type.endswith("]") or type.startswith(("STRUCT", "MAP", "UNION")):
        raise BerthError(
            f"{file.uri}: the column {column!r} holds lists or records. Name one of texts or numbers, or a field of a "
            "record, such as label.name; lists of labels need 'task: multi_label'."
        )
    if type == "BLOB":  # some writers of Parquet do not mark texts as strings
        return f"CASE WHEN {place} IS NOT NULL THEN coalesce(try(decode({place})), {literal(UNDECODABLE)}) END"
    if type.startswith(("DOUBLE", "FLOAT", "DECIMAL")):
        return whole_number(place)
    return f"CAST({place} AS VARCHAR)"
