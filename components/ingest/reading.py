"""Turn a source's files into one DuckDB table of rows, cleaned as they are read."""

import codecs
import glob
import html
import re
from pathlib import Path
from typing import TYPE_CHECKING

from components.common.errors import BerthError
from components.ingest.settings import Settings
from components.ingest.source import CARRIAGE_RETURN, DELIMITERS, File, Rows, open_decompressed, opened

if TYPE_CHECKING:
    import duckdb

UNDECODABLE = "\ufdd0"
"""Stands for each byte that is not UTF-8: a code point that Unicode keeps free of characters."""
BETWEEN = "\x1f"
"""Between the labels of a text that has several."""
CHANGES = ("HTML entities", "control characters", "Unicode form", "spaces around the label", "mapped label")
"""The cleaning rules that change a row, in the order of their bits in the column `changes`."""
NO_ROOM = "no room on the disk for its rows while they are read. Make room in TMPDIR."
_LONGEST_ROW = 16 << 20
"""Bytes of a CSV or JSON row beyond which the file is taken to be broken."""
_CHUNK = 4 << 20

# What str.isspace() calls white space, and the characters that have no width.
BLANKS = "\t\n\v\f\r\x1c\x1d\x1e\x1f \x85\xa0\u1680" + "".join(map(chr, range(0x2000, 0x200B))) + "\u2028\u2029\u202f"
BLANKS += "\u205f\u3000" + "\u200b\u200c\u200d\u2060\ufeff"
# All but the tab and the ends of lines (U+0085 is one).
_CONTROLS = r"[\x00-\x08\x0B\x0E-\x1F\x7F-\x{84}\x{86}-\x{9F}]"
# Two texts that differ in case, white space or Unicode form only are kept apart but always share a split.
_NORMALISED = r"lower(trim(regexp_replace(nfc_normalize({0}3), '[\s\p{Z}]+', ' ', 'g')))"
# Anything but printable ASCII with single spaces inside.
_NOT_PLAIN = "[^ -~]|  |^ | $|^$"

codecs.register_error("berth-mark", lambda error: (UNDECODABLE, error.start + 1))  # type: ignore[attr-defined]


def read_rows(connection: "duckdb.DuckDBPyConnection", rows: Rows, settings: Settings, scratch: Path) -> list[int]:
    """Create the table `rows` and return the number of rows of each file.

    Its columns: file (the file's number), text, pair, label (several: sorted, with BETWEEN between them), given (the
    split that the source says), moment (TIMESTAMP), slice0, slice1, ... (the slice_columns' values), changes
    (bits, see CHANGES), reason (why the row is of no use, or NULL), id (MD5 of text and pair) and key (the first 64
    bits of the SHA-256 of the seed and the normalised text and pair). Its rowid is the order of the source.

    Raises:
        BerthError: a file breaks the rules of its format; the message names the file and the line.
    """
    if settings.cleaning.html_entities:
        connection.create_function("berth_unescape", html.unescape, ["VARCHAR"], "VARCHAR")
    counts: list[int] = []
    for number, file in enumerate(rows.files):
        if rows.format in ("tsv", "json"):
            _read(connection, rows, number, _readable(file, rows.format, scratch), settings)
        else:
            try:
                _read(connection, rows, number, file.path, settings)
            except BerthError:
                if rows.format == "parquet" or _is_plain(file, rows.format):
                    raise
                _read(connection, rows, number, _readable(file, rows.format, scratch), settings)
        ((total,),) = connection.execute("SELECT count(*) FROM rows").fetchall()
        counts.append(total - sum(counts))
        if rows.format == "csv":
            _check_swallowed(connection, rows, file, number, settings)
    return counts


def _read(connection: "duckdb.DuckDBPyConnection", rows: Rows, number: int, path: Path, settings: Settings) -> None:
    """Add the rows of the file `number`, whose bytes are at `path`, to the table `rows`."""
    import duckdb

    file = rows.files[number]
    reader = _reader(rows, path, settings)
    try:
        columns = _columns(connection, rows, file, reader, settings)
        target = "INSERT INTO rows" if number else "CREATE TABLE rows AS"
        connection.execute(f"{target} {_cleaned(number, columns, settings)}")
    except duckdb.Error as error:
        raise BerthError(f"{file.uri}: {lack(error) or _explain(str(error))}") from None


def quoted(name: str) -> str:
    """Return `name` as an SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def literal(value: str) -> str:
    """Return `value` as an SQL string; DuckDB's own strings end at no character but the quote."""
    return "'" + value.replace("'", "''") + "'"


def slices(settings: Settings) -> list[str]:
    """Return the names that the slice columns have in SQL: their own may be any text."""
    return [f"slice{number}" for number in range(len(settings.slice_columns))]


def _cleaned(number: int, columns: str, settings: Settings) -> str:
    """Return the query that cleans a file's rows; `columns` selects text0, pair0, label0 and the rest of them.

    Most texts are plain: one look at a text spares it the dear functions that would find nothing.
    """
    cleaning, several = settings.cleaning, settings.task == "multi_label"
    names = ["text", "pair"] if settings.text_pair_column else ["text"]

    def stage(query: str, **expressions: str) -> str:
        """Wrap `query` in one that adds a column per text and expression; {0} stands for the text's name."""
        made = (
            f"{expression.replace('{0}', name)} AS {name}{suffix}"
            for name in names
            for suffix, expression in expressions.items()
        )
        return f"SELECT *, {', '.join(made)} FROM ({query})"

    def unless_plain(expression: str, otherwise: str) -> str:
        return f"CASE WHEN {{0}}_plain THEN {otherwise} ELSE {expression} END"

    entities = "CASE WHEN contains({0}0, '&') THEN berth_unescape({0}0) ELSE {0}0 END"
    query = stage(columns, **{"1": entities if cleaning.html_entities else "{0}0"})
    query = stage(query, _plain=f"NOT regexp_matches({{0}}1, '{_NOT_PLAIN}')")
    controls = f"regexp_replace({{0}}1, '{_CONTROLS}', '', 'g')" if cleaning.control_characters else "{0}1"
    query = stage(query, **{"2": unless_plain(controls, "{0}1")})
    query = stage(query, **{"3": unless_plain("nfc_normalize({0}2)", "{0}2") if cleaning.nfc else "{0}2"})
    query = stage(
        query,
        _entities="({0}1 IS DISTINCT FROM {0}0)" if cleaning.html_entities else "false",
        _controls=unless_plain("({0}2 IS DISTINCT FROM {0}1)", "false"),
        _form=unless_plain("({0}3 IS DISTINCT FROM {0}2)", "false"),
        _normal=unless_plain(_NORMALISED, "lower({0}3)"),
        _empty=unless_plain(f"trim(coalesce({{0}}3, ''), {literal(BLANKS)}) = ''", "{0}3 = ''"),
        _undecodable=unless_plain(f"contains({{0}}0, {literal(UNDECODABLE)})", "false"),
    )
    query = f"SELECT *, {_per_label(several, 'label0', _TRIMMED)} AS label1 FROM ({query})"
    query = f"SELECT *, {_per_label(several, 'label1', _mapped(settings))} AS label2 FROM ({query})"
    label = "label2"
    if several:
        label = "list_sort(list_distinct(list_filter(label2, lambda one: one <> '')))"
        label = f"array_to_string({label}, {literal(BETWEEN)})"
    query = f"SELECT *, {label} AS label FROM ({query})"

    def any_text(suffix: str) -> str:
        return "(" + " OR ".join(f"{name}{suffix}" for name in names) + ")"

    rules = [any_text("_entities"), any_text("_controls"), any_text("_form")]
    rules += ["(label0 IS DISTINCT FROM label1)", "(label1 IS DISTINCT FROM label2)"]
    changes = " + ".join(f"{1 << bit} * coalesce({rule}, false)::INTEGER" for bit, rule in enumerate(rules))
    flat_label = "array_to_string(label0, '')" if several else "label0"
    missing, left_out = (
        ("label1 IS NULL", "len(label1) > 0 AND label = ''")
        if several
        else (
            "label1 IS NULL OR label1 = ''",
            "label = ''",
        )
    )
    reason = f"""CASE
        WHEN {any_text("_undecodable")} OR contains({flat_label}, {literal(UNDECODABLE)}) THEN 'undecodable bytes'
        WHEN {any_text("_empty")} OR {any_text("3 IS NULL")} THEN 'empty text'
        WHEN {missing} THEN 'missing label'
        WHEN {left_out} THEN 'label left out'
        WHEN given NOT IN ('train', 'validation', 'test') THEN 'unknown split'
        {"WHEN moment IS NULL THEN 'unreadable time'" if settings.split.by == "time" else ""}
    END"""
    whole, normal = (" || chr(31) || ".join(f"{name}{suffix}" for name in names) for suffix in ("3", "_normal"))
    pair = "pair3" if settings.text_pair_column else "NULL::VARCHAR"
    kept = "".join(f"{name}, " for name in slices(settings))
    return f"""
    SELECT {number}::INTEGER AS file, text3 AS text, {pair} AS pair, label, given, moment, {kept}
        ({changes})::UTINYINT AS changes, {reason} AS reason, md5_number({whole}) AS id,
        CAST('0x' || sha256('{settings.split.seed}|' || {normal})[:16] AS UBIGINT) AS key
    FROM ({query})"""


_TRIMMED = (
    f"CASE WHEN regexp_full_match({{0}}, '[!-~]([ -~]*[!-~])?') THEN {{0}} ELSE trim({{0}}, {literal(BLANKS)}) END"
)


def _mapped(settings: Settings) -> str:
    """Return the SQL expression that maps a label; one that is mapped to nothing becomes empty."""
    if not settings.label_map:
        return "{0}"
    cases = " ".join(f"WHEN {literal(old)} THEN {literal(new)}" for old, new in settings.label_map.items())
    return f"CASE {{0}} {cases} ELSE {{0}} END"


def _per_label(several: bool, column: str, expression: str) -> str:
    if several:
        return f"list_transform({column}, lambda one: {expression.replace('{0}', 'one')})"
    return expression.replace("{0}", column)


def _columns(connection: "duckdb.DuckDBPyConnection", rows: Rows, file: File, reader: str, settings: Settings) -> str:
    """Return the query for what is read of the file behind `reader`: text0, pair0, label0, given, moment, slices."""
    places = {field: _place(rows, column) for field, column in settings.wanted.items()}
    described = connection.execute(f"DESCRIBE SELECT {', '.join(places.values())} FROM {reader}").fetchall()
    types = {field: type for field, (_, type, *_) in zip(places, described, strict=True)}

    def text(field: str) -> str:
        return _as_text(file, settings.wanted[field], places[field], types[field])

    label = text("label_column") if settings.task == "single_label" else ""
    if settings.task == "multi_label":
        place, type = places["label_column"], types["label_column"]
        separated = f"string_split(nullif(CAST({{0}} AS VARCHAR), ''), {literal(settings.label_separator)})"
        if type.endswith("[]"):
            label = f"CAST({place} AS VARCHAR[])"
        elif type == "JSON":
            label = (
                f"CASE json_type({place}) WHEN 'ARRAY' THEN CAST({place} AS VARCHAR[]) WHEN 'NULL' THEN NULL "
                f"ELSE {separated.replace('{0}', f'({place} ->> {chr(39)}${chr(39)})')} END"
            )
        else:
            label = separated.replace("{0}", text("label_column"))
    given, moment = literal(file.split) if file.split else "NULL::VARCHAR", "NULL::TIMESTAMP"
    if settings.split.by == "column":
        named = f"lower(trim({text('split.column')}))"
        given = (
            f"CASE WHEN {named} IN ('dev', 'val', 'valid') THEN 'validation' WHEN {named} = 'training' THEN 'train' "
        )
        given += f"ELSE coalesce({named}, '') END"
    if settings.split.by == "time":
        stamp = text("split.column")
        moment = (
            f"coalesce(try_cast({stamp} AS TIMESTAMP), make_timestamp((try_cast({stamp} AS DOUBLE) * 1e6)::BIGINT))"
        )
    pair = f"{text('text_pair_column')} AS pair0, " if settings.text_pair_column else ""
    kept = "".join(
        f", replace(coalesce({text(f'slice_columns[{number}]')}, ''), {literal(UNDECODABLE)}, chr(65533)) AS {name}"
        for number, name in enumerate(slices(settings))
    )
    return (
        f"SELECT {text('text_column')} AS text0, {pair}{label} AS label0, {given} AS given, {moment} AS moment{kept} "
        f"FROM {reader}"
    )


def _place(rows: Rows, column: str) -> str:
    """Return the SQL name of `column`: by its place, since a header may repeat names or leave one out."""
    return quoted(column) if rows.format == "json" else f"column{rows.columns.index(column)}"


def _reader(rows: Rows, path: Path, settings: Settings) -> str:
    """Return the DuckDB table function that reads `path`; nothing about it is guessed, nor read from its folders."""
    file = f"{literal(glob.escape(str(path)))}, hive_partitioning=false"
    places = [f"column{place}" for place in range(len(rows.columns))]
    if rows.format == "parquet":
        return f"read_parquet({file}) AS rows({', '.join(places)})"
    if rows.format == "json":
        types = {"label_column": "JSON"} if settings.task == "multi_label" else {}
        kinds = {name: "VARCHAR" for name in settings.wanted.values()}  # a column may be wanted twice
        kinds |= {settings.wanted[field]: kind for field, kind in types.items()}
        columns = ", ".join(f"{literal(name)}: '{kind}'" for name, kind in kinds.items())
        return (
            f"read_json({file}, format='newline_delimited', columns={{{columns}}}, maximum_object_size={_LONGEST_ROW})"
        )
    # TSV has no quoting: real text messages hold stray double quotes, and would swallow each other.
    quote, escape = ('"', '"') if rows.format == "csv" else ("", "")
    columns = ", ".join(f"{place}: 'VARCHAR'" for place in places)
    return (
        f"read_csv({file}, auto_detect=false, header={str(rows.has_header).lower()}, columns={{{columns}}}, "
        f"delim={literal(DELIMITERS[rows.format])}, quote={literal(quote)}, escape={literal(escape)}, "
        f"max_line_size={_LONGEST_ROW})"
    )


def _as_text(file: File, column: str, place: str, type: str) -> str:
    """Return the SQL expression of a column's values as VARCHAR."""
    if type.endswith("]") or type.startswith(("STRUCT", "MAP", "UNION")):
        raise BerthError(
            f"{file.uri}: the column {column!r} holds lists or records. Name one of texts or numbers; "
            "lists of labels need 'task: multi_label'."
        )
    if type == "BLOB":  # some writers of Parquet do not mark their texts as such
        return f"CASE WHEN {place} IS NOT NULL THEN coalesce(try(decode({place})), {literal(UNDECODABLE)}) END"
    return f"CAST({place} AS VARCHAR)"


def _check_swallowed(
    connection: "duckdb.DuckDBPyConnection", rows: Rows, file: File, number: int, settings: Settings
) -> None:
    """Raise if texts hold what look like rows of their own: a stray double quote has swallowed them."""
    place = rows.columns.index(settings.label_column)
    from_end = place - len(rows.columns)
    swallowed, first = connection.execute(
        f"""
        WITH multi AS (
            SELECT rowid AS rid, unnest(string_split(text, chr(10))[2:]) AS line
            FROM rows WHERE file = {number} AND contains(text, chr(10))
        ), parts AS (SELECT rid, string_split(line, ',') AS parts FROM multi WHERE contains(line, ',')),
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


def _readable(file: File, format: str, scratch: Path) -> Path:
    """Return the file's path where DuckDB reads it as it is, else a copy in UTF-8 with UNDECODABLE for what is not.

    The copy has no byte order mark, which DuckDB refuses in JSON. A TSV has one kind of line end in it.
    """
    if _is_plain(file, format):
        return file.path
    copy = scratch / f"readable.{format}"
    with copy.open("w", encoding="utf-8", newline="") as stream:
        for number, line in enumerate(open_decompressed(file), start=1):
            text = line.removeprefix(codecs.BOM_UTF8).decode("utf-8", errors="berth-mark")
            if format == "tsv":
                text = text.removesuffix("\n").removesuffix("\r")
                if "\r" in text:
                    raise BerthError(f"{file.uri}: line {number}: {CARRIAGE_RETURN}")
                text += "\n"
            stream.write(text)
    return copy


def _is_plain(file: File, format: str) -> bool:
    decoder = codecs.getincrementaldecoder("utf-8")()
    returns, windows_ends, ends, begun, before = 0, 0, 0, False, b""
    with opened(file) as stream:
        while chunk := stream.read(_CHUNK):
            if format == "json" and not begun and chunk.startswith(codecs.BOM_UTF8):
                return False
            begun = True
            try:
                decoder.decode(chunk)
            except UnicodeDecodeError:
                return False
            if format == "tsv":
                ends += chunk.count(b"\n")
                returns += chunk.count(b"\r")
                windows_ends += chunk.count(b"\r\n") + (before == b"\r" and chunk[:1] == b"\n")
                before = chunk[-1:]
        try:
            decoder.decode(b"", final=True)
        except UnicodeDecodeError:
            return False
    return format != "tsv" or returns == 0 or (returns == windows_ends == ends)


def lack(error: Exception) -> str:
    """Return what the machine lacks, and empty where `error` is not about that."""
    text = str(error)
    if "No space left" in text or "max_temp_directory_size" in text or "temp directory" in text:
        return NO_ROOM
    if "Out of Memory" in text:
        return "memory_limit is too small for its rows. Raise it."
    return ""


def _explain(error: str) -> str:
    """Return DuckDB's many lines about a file as one, which shows nothing of the file's text."""
    first = (error.splitlines() or [""])[0]
    if "No such file" in error or "No files found" in error:
        return "gone while it was read. Run again."
    if json := re.search(r" in line (\d+): ([^:]+)", first):
        return f"line {json[1]}: not the JSON that is expected ({json[2].strip(' .')}). Mend the row."
    line = re.search(r"CSV Error on Line: (\d+)", error)
    where = f"line {line[1]}: " if line else ""
    if columns := re.search(r"Expected Number of Columns: (\d+) Found: (\d+)", error):
        return f"{where}{columns[2]} columns where {columns[1]} are expected. Quote the text, or mend the row."
    if "unterminated quote" in error.lower() or "unquoted value" in error.lower():
        return f"{where}a double quote that is never closed, or text after a closing one. Mend the row, or give a .tsv."
    if "Maximum line size" in error or "maximum_object_size" in error:
        return f"{where}a row of more than {_LONGEST_ROW >> 20} MB. Close its quotes, or cut the text."
    if "invalid state" in error:
        return "its lines do not end alike. End all of them with \\n, or all with \\r\\n."
    reason = first.removeprefix("Invalid Input Error: ")
    return f"{where}{reason}" if line is None else f"{where}not as the format wants it ({reason})."
