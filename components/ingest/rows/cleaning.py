"""SQL that cleans texts and labels."""

from collections.abc import Callable

from berth.data.cleaning import CONTROLS
from berth.data.tokenless import TOKEN
from components.ingest.rows.encoding import UNDECODABLE
from components.ingest.rows.labels import BLANKS, cleaned_form, is_plain, mapped, trimmed
from components.ingest.rows.sql import BETWEEN, literal, slices
from components.ingest.settings import IngestSettings

CHANGES = (
    *("HTML entities", "control characters", "Unicode form"),
    *("characters of the label", "spaces around the label", "mapped label"),
)
"""The cleaning rules that change a row, in the order of their bits in the column `changes`."""

NORMALISED = r"lower(trim(regexp_replace(nfc_normalize({0}3), '[\s\p{Z}]+', ' ', 'g')))"
"""The SQL expression of a text's normal form: texts that differ only in case, white space or Unicode form are not
duplicates, but are always in the same split."""
# Anything except printable ASCII with single spaces inside.
_NOT_PLAIN = "[^ -~]|  |^ | $|^$"


def cleaned(number: int, columns: str, settings: IngestSettings, mapping: dict[str, str]) -> str:
    """Return the query that cleans a file's rows; `columns` selects text0, pair0, label0 and the rest of them.

    With a `mapping` of labels, the column `original` has each row's labels before it.

    Most texts are plain: one check of a text avoids the expensive functions that would not change it.
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
    controls = f"regexp_replace({{0}}1, '{CONTROLS}', '', 'g')" if cleaning.control_characters else "{0}1"
    query = stage(query, **{"2": unless_plain(controls, "{0}1")})
    query = stage(query, **{"3": unless_plain("nfc_normalize({0}2)", "{0}2") if cleaning.nfc else "{0}2"})
    query = stage(
        query,
        _entities="({0}1 IS DISTINCT FROM {0}0)" if cleaning.html_entities else "false",
        _controls=unless_plain("({0}2 IS DISTINCT FROM {0}1)", "false"),
        _form=unless_plain("({0}3 IS DISTINCT FROM {0}2)", "false"),
        _normal=unless_plain(NORMALISED, "lower({0}3)"),
        _empty=unless_plain(f"trim(coalesce({{0}}3, ''), {literal(BLANKS)}) = ''", "{0}3 = ''"),
        _tokenless=unless_plain(f"NOT regexp_matches({{0}}3, '{TOKEN}')", "false"),
        _undecodable=unless_plain(f"contains({{0}}0, {literal(UNDECODABLE)})", "false"),
    )
    plain = "" if several else "label_plain"
    if plain:
        query = f"SELECT *, {is_plain('label0')} AS {plain} FROM ({query})"
    form = _per_label(several, "label0", lambda value: cleaned_form(value, cleaning.html_entities, plain))
    query = f"SELECT *, {form} AS label_form FROM ({query})"
    bare = _per_label(several, "label_form", lambda value: trimmed(value, plain))
    if several:
        bare = f"list_filter({bare}, lambda one: one <> '')"
    query = f"SELECT *, {bare} AS label1 FROM ({query})"
    query = f"SELECT *, {_per_label(several, 'label1', lambda value: mapped(value, mapping))} AS label2 FROM ({query})"
    label = "label2"
    if several:
        label = "list_sort(list_distinct(list_filter(label2, lambda one: one <> '')))"
        label = f"array_to_string({label}, {literal(BETWEEN)})"
    query = f"SELECT *, {label} AS label FROM ({query})"

    def any_text(suffix: str) -> str:
        return "(" + " OR ".join(f"{name}{suffix}" for name in names) + ")"

    rules = [any_text("_entities"), any_text("_controls"), any_text("_form")]
    given = "list_filter(label_form, lambda one: one <> '')" if several else "label_form"
    rules += ["(label_form IS DISTINCT FROM label0)", f"({given} IS DISTINCT FROM label1)"]
    rules.append("(label1 IS DISTINCT FROM label2)")
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
        WHEN fault IS NOT NULL THEN fault
        WHEN {any_text("_undecodable")} OR contains({flat_label}, {literal(UNDECODABLE)}) THEN 'undecodable bytes'
        WHEN {any_text("_empty")} OR {any_text("3 IS NULL")} THEN 'empty text'
        WHEN {any_text("_tokenless")} THEN 'text without a token'
        WHEN {missing} THEN 'missing label'
        WHEN {left_out} THEN 'label left out'
        WHEN given NOT IN ('train', 'validation', 'test') THEN 'unknown split'
        {"WHEN moment IS NULL THEN 'unreadable time'" if settings.split.by == "time" else ""}
    END"""
    whole, normal = (" || chr(31) || ".join(f"{name}{suffix}" for name in names) for suffix in ("3", "_normal"))
    pair = "pair3" if settings.text_pair_column else "NULL::VARCHAR"
    kept = "".join(f"{cleaned_form(name, cleaning.html_entities)} AS {name}, " for name in slices(settings))
    if mapping:
        kept += f"array_to_string(label1, {literal(BETWEEN)}) AS original, " if several else "label1 AS original, "
    return f"""
    SELECT {number}::INTEGER AS file, text3 AS text, {pair} AS pair, label, given, moment, {kept}
        ({changes})::UTINYINT AS changes, {reason} AS reason, md5_number({whole}) AS id,
        CAST('0x' || sha256('{settings.split.seed}|' || {normal})[:16] AS UBIGINT) AS key
    FROM ({query})"""


def _per_label(several: bool, column: str, expression: Callable[[str], str]) -> str:
    return f"list_transform({column}, lambda one: {expression('one')})" if several else expression(column)
