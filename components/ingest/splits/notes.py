"""Notes about labels and times that may not mean what the configuration says."""

import re

import duckdb

from berth.data.dataset import Manifest
from components.ingest.rows.sql import BETWEEN, literal
from components.ingest.settings import IngestSettings

_SEPARATORS = {",": "a comma", ";": "a semicolon", "|": "a bar", "\t": "a tab", "/": "a slash", " ": "a space"}
_LONGEST_SHOWN = 40
_PAIRS_SHOWN = 5
_NUMBER = re.compile(r"[+-]?[0-9]+(\.[0-9]*)?")
_MISSING = ("nan", "NaN", "None", "null", "NULL", "N/A", "#N/A", "<NA>", "NaT", "undefined")
"""What tools write for a value that is missing, where it should be nothing."""
_GARBLED = "\u00c3[\u0080-\u00bf]|\u00e2\u20ac[\u0080-\u00bf\u2018-\u2122\u0153]"
"""Accents and typographical quotes of UTF-8 read as Latin-1 or Windows-1252."""
_FEW = 0.01
_CERTAIN = ",;|\t"
"""Separators that a name rarely has inside it; with the others, parts of labels have to recur in several labels."""


def notes_on_rows(
    connection: duckdb.DuckDBPyConnection, format: str, settings: IngestSettings, manifest: Manifest
) -> list[str]:
    """Return what is doubtful about the rows of the view `kept` and about those that were left out, one line each."""
    name = settings.label_column
    found = _same_numbers(name, manifest.labels) + _doubtful_names(name, manifest.labels, format)
    found += _doubtful_texts(connection, settings.text_column)
    if settings.columns and format != "parquet":
        found += _first_rows(connection)
    if format == "tsv":
        found += _quoted(connection, settings.text_column)
    if settings.split.by == "time":
        found += _small_times(connection, settings.split.column)
    if number := manifest.rejected.get("unreadable time"):
        found.append(
            f"split.column: {number:,} rows have a time in {settings.split.column!r} that cannot be read for certain, "
            "and are rejected. Set split.time_format if they are written in another way, such as %d/%m/%Y."
        )
    if settings.task == "multi_label":
        found += _without_labels(connection, name, sum(manifest.rows.values()))
        found += _other_separator(connection, settings, manifest.labels)
    return found


def _first_rows(connection: duckdb.DuckDBPyConnection) -> list[str]:
    """Return a note if the first row of each file could be a header: its label is in no other row."""
    found = connection.execute("""
        WITH firsts AS (SELECT label, text FROM rows WHERE rowid IN (SELECT min(rowid) FROM rows GROUP BY file)),
        counted AS (SELECT label, min(text) AS text, count(*) AS number FROM firsts WHERE label <> '' GROUP BY label)
        SELECT label, text FROM counted WHERE number = (SELECT count(*) FROM rows WHERE rows.label = counted.label)
        ORDER BY label
    """).fetchall()
    if not found:
        return []
    label, text = (one if len(one) <= _LONGEST_SHOWN else f"{one[:_LONGEST_SHOWN]}..." for one in found[0])
    return [
        f"columns: the label {label!r} is in a first row alone, with the text {text!r}. If that row is a header, leave "
        "'columns' out, and name its columns."
    ]


def _quoted(connection: duckdb.DuckDBPyConnection, name: str) -> list[str]:
    """Return a note if texts look as tools write them that quote in a TSV."""
    ((number,),) = connection.execute(
        """SELECT count(*) FROM kept WHERE starts_with(text, '"') AND contains(text, '""')
        AND regexp_full_match(text, '"([^"]|"")+"', 's')"""
    ).fetchall()
    if not number:
        return []
    return [
        f"{name}: {number:,} texts of a TSV are in quotes with doubled quotes inside, and stay so: a TSV has no "
        "quoting. Name the file .csv if it has; tabs are understood there."
    ]


def _small_times(connection: duckdb.DuckDBPyConnection, column: str) -> list[str]:
    """Return a note if some times are near 1970 and others are not: years or days, read as seconds, among dates."""
    small, others = connection.execute(
        "SELECT count(*) FILTER (near), count(*) FILTER (NOT near) FROM "
        "(SELECT moment BETWEEN '1970-01-01' AND make_timestamp(100000000000000) AS near FROM kept)"
    ).fetchall()[0]
    if not (small and others):
        return []
    return [
        f"split.column: {small:,} times in {column!r} are in 1970 to 1973, and {others:,} are not. Years and days are "
        "read as seconds since 1970: write all times in one way."
    ]


def _same_numbers(name: str, labels: list[str]) -> list[str]:
    """Return notes on classes that are one value in two spellings: 1 and 1.0, 1 and true."""
    there, notes = set(labels), []
    spellings: dict[float, list[str]] = {}
    for label in labels:
        if _NUMBER.fullmatch(label):
            spellings.setdefault(float(label), []).append(label)
    same = [sorted((own[0], other), key=len) for own in spellings.values() for other in own[1:]]
    if len(same) > 1:
        shown = ", ".join(f"{first!r} and {second!r}" for first, second in same[:_PAIRS_SHOWN])
        more = f" and {len(same) - _PAIRS_SHOWN:,} more" if len(same) > _PAIRS_SHOWN else ""
        notes.append(
            f"{name}: {shown}{more} are each two classes. If they are one, map one of each pair with label_map."
        )
    elif same:
        ((first, second),) = same
        notes.append(
            f"{name}: {first!r} and {second!r} are two classes. If they are one, map {second!r} with label_map."
        )
    booleans, numbers = {"true", "false"} & {label.lower() for label in labels}, {"0", "1"} & there
    if booleans and numbers:
        notes.append(
            f"{name}: {', '.join(sorted(numbers))} and {', '.join(sorted(booleans))} are different classes. "
            "If they are the same, map them with label_map."
        )
    return notes


def _doubtful_names(name: str, labels: list[str], format: str) -> list[str]:
    """Return notes on classes that differ in case alone, that say that something is missing, or that are in quotes."""
    notes = []
    by_case: dict[str, list[str]] = {}
    for label in labels:
        by_case.setdefault(label.casefold(), []).append(label)
    if alike := [same for same in by_case.values() if len(same) > 1]:
        shown = " and ".join(repr(label) for label in alike[0])
        more = f", and so are {len(alike) - 1:,} more" if len(alike) > 1 else ""
        notes.append(f"{name}: {shown} are different classes{more}. If they are the same, map them with label_map.")
    if missing := [label for label in labels if label in _MISSING]:
        shown = ", ".join(repr(label) for label in missing)
        notes.append(f"{name}: {shown} is a class. If it says that a label is missing, map it to '' with label_map.")
    if format == "tsv" and (quoted := [label for label in labels if len(label) > 1 and label[0] == label[-1] == '"']):
        notes.append(
            f"{name}: labels such as {quoted[0]!r} stay in their quotes: a TSV has no quoting. Name the file .csv if "
            "it has; tabs are understood there."
        )
    return notes


def _doubtful_texts(connection: duckdb.DuckDBPyConnection, name: str) -> list[str]:
    """Return notes on texts that say that they are missing, and on texts whose letters were read wrongly before."""
    words = ", ".join(literal(word) for word in _MISSING)
    missing, word, garbled, example, total = connection.execute(f"""
        SELECT count(*) FILTER (text IN ({words})), min(text) FILTER (text IN ({words})),
            count(*) FILTER (garbled), min(part) FILTER (garbled), count(*)
        FROM (
            SELECT text, part, part <> '' AS garbled FROM (
                SELECT text, CASE WHEN contains(text, '\u00c3') OR contains(text, '\u00e2\u20ac')
                    THEN regexp_extract(text, '{_GARBLED}') ELSE '' END AS part FROM rows
            )
        )
    """).fetchall()[0]
    notes = []
    if missing > 1:
        notes.append(
            f"{name}: {missing:,} rows have the text {word!r}. If it says that a text is missing, take these rows out."
        )
    if garbled >= max(2, _FEW * total):
        notes.append(
            f"{name}: {garbled:,} of {total:,} texts have letters such as {example!r}, which UTF-8 makes when it is "
            "read in another encoding. Write the source again in UTF-8 if these texts are wrong there."
        )
    return notes


def _without_labels(connection: duckdb.DuckDBPyConnection, name: str, total: int) -> list[str]:
    ((number,),) = connection.execute("SELECT count(*) FROM kept WHERE label = ''").fetchall()
    return [f"{name}: {number:,} of {total:,} texts have no label, and are examples of none."] if number else []


def _other_separator(connection: duckdb.DuckDBPyConnection, settings: IngestSettings, labels: list[str]) -> list[str]:
    """Return a note if no text has two labels, and another separator would give some."""
    ((several,),) = connection.execute(
        f"SELECT count(*) FROM kept WHERE contains(label, {literal(BETWEEN)})"
    ).fetchall()
    if several:
        return []
    for separator, words in _SEPARATORS.items():
        split = [label for label in labels if len([part for part in label.split(separator) if part.strip()]) > 1]
        parts = {part.strip() for label in labels for part in label.split(separator)}
        if split and separator != settings.label_separator and (separator in _CERTAIN or len(parts) < len(labels)):
            return [
                f"{settings.label_column}: no text has two labels, but {split[0]!r} is several with {words} between "
                f"them. If so, set label_separator: {separator!r}."
            ]
    return []
