"""SQL that cleans and maps labels, and the check that each label of `label_map` is in the data."""

import duckdb

from berth.data.cleaning import CONTROLS
from berth.errors import BerthError, nearest
from components.ingest.rows.sql import BETWEEN, literal
from components.ingest.settings import IngestSettings

# White space as in str.isspace(), and characters without width.
BLANKS = "\t\n\v\f\r\x1c\x1d\x1e\x1f \x85\xa0\u1680" + "".join(map(chr, range(0x2000, 0x200B))) + "\u2028\u2029\u202f"
BLANKS += "\u205f\u3000" + "\u200b\u200c\u200d\u2060\ufeff"
# Soft hyphens, characters without width, marks of direction.
_INVISIBLE = (
    r"[\x{AD}\x{61C}\x{180E}\x{200B}\x{200E}\x{200F}\x{202A}-\x{202E}\x{2060}-\x{2064}\x{2066}-\x{206F}\x{FEFF}]"
)
# Joiners have a meaning in emoji, and in scripts other than these.
_JOINERS = r"[\x{200C}\x{200D}]"
_WITHOUT_JOINERS = (
    rf"([ -~\p{{Latin}}\p{{Greek}}\p{{Cyrillic}}\p{{Han}}\p{{Hiragana}}\p{{Katakana}}\p{{Hangul}}\p{{M}}]|{_JOINERS})+"
)
_MOST_SHOWN = 250
_LONGEST_SHOWN = 40


def is_plain(value: str) -> str:
    """Return the SQL expression of whether cleaning leaves a label as it is: ASCII, without spaces around it or `&`."""
    return f"(NOT regexp_matches({value}, '[^ -%''-~]|^ | $'))"


def cleaned_form(value: str, html_entities: bool, plain: str = "") -> str:
    """Return the SQL expression of a label as it looks: without invisible characters, in Unicode form C.

    Whatever `cleaning` leaves in texts, two labels that look the same are one class. `plain` is the name of a column
    with `is_plain`, if there is one.
    """
    given, plain = value, plain or is_plain(value)
    if html_entities:
        value = f"berth_unescape({value})"
    visible = f"regexp_replace(regexp_replace({value}, '{CONTROLS}', '', 'g'), '{_INVISIBLE}', '', 'g')"
    visible = (
        f"CASE WHEN regexp_full_match({value}, '{_WITHOUT_JOINERS}') "
        f"THEN regexp_replace({visible}, '{_JOINERS}', '', 'g') ELSE {visible} END"
    )
    return f"CASE WHEN {plain} THEN {given} ELSE nfc_normalize({visible}) END"


def trimmed(value: str, plain: str = "") -> str:
    """Return the SQL expression of a label without the white space around it; `plain` as in `cleaned_form`."""
    return f"CASE WHEN {plain or is_plain(value)} THEN {value} ELSE trim({value}, {literal(BLANKS)}) END"


def mapped(value: str, mapping: dict[str, str]) -> str:
    """Return the SQL expression that maps a label; a label that is mapped to "" becomes empty."""
    if not mapping:
        return value
    cases = " ".join(f"WHEN {literal(old)} THEN {literal(new)}" for old, new in mapping.items())
    return f"CASE {value} {cases} ELSE {value} END"


def cleaned_map(connection: duckdb.DuckDBPyConnection, settings: IngestSettings) -> dict[str, str]:
    """Return label_map with labels that are cleaned as the data's are.

    Raises:
        BerthError: it maps the same label twice.
    """

    def clean(label: str) -> str:
        expression = trimmed(f"({cleaned_form('label', settings.cleaning.html_entities)})")
        ((found,),) = connection.execute(f"SELECT {expression} FROM (SELECT ?::VARCHAR AS label)", [label]).fetchall()
        return str(found)

    mapping: dict[str, str] = {}
    for old, new in settings.label_map.items():
        if mapping.setdefault(clean(old), clean(new)) != clean(new):
            raise BerthError(
                f"label_map: {clean(old)!r} is there twice, in two spellings that look the same. Keep one."
            )
    return mapping


def check_mapped(connection: duckdb.DuckDBPyConnection, mapping: dict[str, str], settings: IngestSettings) -> None:
    """Raise if a label of `mapping` is in no row of the table `rows`; drop the column that is there to know."""
    if not mapping:
        return
    several = settings.task == "multi_label"
    value = f"unnest(string_split(original, {literal(BETWEEN)}))" if several else "original"
    query = f"SELECT DISTINCT {value} AS label FROM rows WHERE original <> ''"
    there = sorted(label for (label,) in connection.execute(query).fetchall())
    connection.execute("ALTER TABLE rows DROP COLUMN original")
    missing = [old for old in mapping if old not in there]
    if missing and there:
        names = _shown([repr(old) for old in missing])
        raise BerthError(
            f"label_map: no row has the label{'s' if len(missing) > 1 else ''} {names}.{_near(missing[0], there)} "
            f"The labels are: {_shown(there)}."
        )


def _near(label: str, there: list[str]) -> str:
    """Return " Did you mean 'x'?" for a label that differs in case or spaces, or that is close."""
    alike = {"".join(one.casefold().split()): one for one in reversed(there)}
    if near := alike.get("".join(label.casefold().split())):
        return f" Did you mean {near!r}?"
    return nearest(label, there)


def _shown(labels: list[str]) -> str:
    """Return the first labels, as many as fit into a line."""
    shown: list[str] = []
    for label in labels:
        short = f"{label[:_LONGEST_SHOWN]}..." if len(label) > _LONGEST_SHOWN else label
        if sum(len(one) + 2 for one in [*shown, short]) > _MOST_SHOWN:
            break
        shown.append(short)
    more = len(labels) - len(shown)
    return ", ".join(shown) + (f" and {more:,} more" if more else "")
