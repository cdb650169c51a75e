"""SQL for the values of JSON rows: each row is parsed as a whole, so keys are told apart by case and type."""

from components.ingest.rows.sql import literal, whole_number
from components.ingest.settings import IngestSettings
from components.ingest.sources.json_lines import pointers

NESTED = "a list or an object"
NOT_AN_OBJECT = "not an object"
DUPLICATE_KEY = "a key twice"
_LABEL = "label_column"


def reader(table: str, settings: IngestSettings) -> str:
    """Return the subquery with the rows of `table`, whose column `json` is one row.

    Its columns: row_type, the row's JSON type; twice, whether it has a wanted key more than once; for each wanted
    column, value_N and kind_N, its text and its JSON type (NULL where the row lacks it); with a label, label_list, the
    label as JSON if it is a list.
    """
    wanted = list(settings.wanted.values())
    found = [pointers(column) for column in wanted]
    every = list(dict.fromkeys(pointer for places in found for pointer in places))
    label = found[list(settings.wanted).index(_LABEL)] if _LABEL in settings.wanted else []
    inside = [f"{pointer}/{place}" for pointer in label for place in (0, 1)]
    asked = f"[{', '.join(literal(pointer) for pointer in [*every, *inside])}]"
    place = {pointer: number for number, pointer in enumerate([*every, *inside], start=1)}

    def first(list_: str, places: list[str]) -> str:
        return f"coalesce({', '.join(f'{list_}[{place[pointer]}]' for pointer in places)})"

    columns = []
    for number, places in enumerate(found):
        columns += [f"{first('texts', places)} AS value_{number}", f"{first('kinds', places)} AS kind_{number}"]
    if label:
        heads, seconds = ([f"{pointer}/{number}" for pointer in label] for number in (0, 1))
        lists = (f"CASE kinds[{place[one]}] WHEN 'ARRAY' THEN json_extract(json, {literal(one)}) END" for one in label)
        columns += [
            f"{first('texts', heads)} AS only_label",
            f"{first('kinds', heads)} AS only_kind",
            f"{first('kinds', seconds)} IS NULL AS is_only",
            f"coalesce({', '.join(lists)}) AS label_list",
        ]
    keys = ", ".join(literal(key) for column in wanted for key in {column, column.partition(".")[0]})
    # Where each key has a place of its own, those that are there need no comparison with each other.
    there = " + ".join(f"(kinds[{place[pointer]}] IS NOT NULL)::INTEGER" for pointer in every)
    several = f"len(list_distinct(keys)){_twice_inside(wanted)}" if any("." in column for column in wanted) else there
    columns += ["row_type", f"(len(keys) <> {several}) AS twice"]
    return f"""(
        SELECT {", ".join(columns)} FROM (
            SELECT json, json_type(json) AS row_type, json_extract_string(json, {asked}) AS texts,
                json_type(json, {asked}) AS kinds,
                list_filter(json_keys(json), lambda key: key IN ({keys})) AS keys
            FROM {table}
        ))"""


def _twice_inside(wanted: list[str]) -> str:
    """Return the SQL condition that an object in a row has a wanted field more than once; empty if none is wanted."""
    conditions = ""
    for column in wanted:
        parent, dot, name = column.rpartition(".")
        if dot:
            inside = f"json_keys(json, {literal(pointers(parent)[-1])})"
            conditions += f" OR coalesce(len(list_filter({inside}, lambda key: key = {literal(name)})), 0) > 1"
    return conditions


def text(field: str, settings: IngestSettings) -> str:
    """Return the SQL expression of the values of the column that `field` names; a list of one label is that label."""
    number = list(settings.wanted).index(field)
    value, kind = f"value_{number}", f"kind_{number}"
    if field == _LABEL and settings.task == "single_label":
        single = f"({kind} = 'ARRAY' AND is_only AND only_kind IS NOT NULL)"
        return f"CASE WHEN {single} THEN {_scalar('only_label', 'only_kind')} ELSE {_scalar(value, kind)} END"
    return _scalar(value, kind)


def labels() -> str:
    """Return the SQL expression of the labels in label_list, VARCHAR[]."""
    items = "CAST(label_list AS JSON[])"
    return f"list_transform({items}, lambda item: {_scalar('''(item ->> '$')''', 'json_type(item)')})"


def fault(settings: IngestSettings) -> str:
    """Return the SQL expression of why a row cannot be used."""
    several = settings.task == "multi_label"
    nested = [
        f"kind_{number} IN ('ARRAY', 'OBJECT')" for number, field in enumerate(settings.wanted) if field != _LABEL
    ]
    if _LABEL in settings.wanted:
        number = list(settings.wanted).index(_LABEL)
        kinds = "list_transform(CAST(label_list AS JSON[]), lambda item: json_type(item))"
        inside = "only_kind IN ('ARRAY', 'OBJECT') OR NOT is_only OR only_kind IS NULL"
        if several:
            inside = f"list_has_any({kinds}, ['ARRAY', 'OBJECT'])"
        nested.append(f"kind_{number} = 'OBJECT' OR kind_{number} = 'ARRAY' AND ({inside})")
    return f"""CASE
        WHEN row_type <> 'OBJECT' THEN '{NOT_AN_OBJECT}'
        WHEN twice THEN '{DUPLICATE_KEY}'
        WHEN {" OR ".join(nested)} THEN '{NESTED}'
    END"""


def _scalar(value: str, kind: str) -> str:
    """Return the SQL expression of a JSON value as text; NaN is missing, and 1.0 is 1."""
    return f"CASE {kind} WHEN 'NULL' THEN NULL WHEN 'DOUBLE' THEN {whole_number(value)} ELSE {value} END"
