"""Lists of labels that were written as text: what pandas, Python, JSON, DuckDB and PostgreSQL write into a CSV."""

import ast
import functools
import io
import json
import re
import tokenize

_BRACKETS = r"\[[^\[\]]*\]|\[\s*\[.*\]|\{[^{}]*\}|\(\)|set\(\)"
_QUOTES = r"\[.*Q.*\]|\{.*Q.*\}|\(.*Q.*\)".replace("Q", "[''\"]")
LIKE_A_LIST = rf"\s*({_BRACKETS}|{_QUOTES})\s*"
"""RE2, in an SQL string, for a text that is treated as a list. `[a]|[b]` and `(a)` are labels."""

_NONE = ("None", "null", "nan", "NaN", "NULL")
_FLOAT = re.compile(r"-?\d+\.\d*")
_QUOTED = ("'", '"')
_ENDS = (tokenize.NEWLINE, tokenize.NL, tokenize.ENDMARKER)


@functools.lru_cache(maxsize=100_000)
def labels_of(text: str | None) -> list[str] | None:
    """Return the labels of a list that was written as `text`; None if it cannot be read, or there is no text.

    >>> labels_of("['a', 'b']"), labels_of('["a"]'), labels_of("['a' 'b']"), labels_of("{a,b}"), labels_of("[1 2]")
    (['a', 'b'], ['a'], ['a', 'b'], ['a', 'b'], ['1', '2'])
    """
    text = (text or "").strip()
    if text == "set()":
        return []
    try:
        return _of_json(text)
    except (ValueError, RecursionError):
        inside = text[1:-1]
    if any(quote in inside for quote in _QUOTED):
        return _of_python(inside)
    return None if text.startswith("{") and ":" in inside else _bare(inside)


def _of_json(text: str) -> list[str] | None:
    found = json.loads(text)
    if not isinstance(found, list):
        return [] if found == {} else None
    return [_text(item) for item in found if item is not None and item == item]  # NaN is not equal to itself


def _text(item: object) -> str:
    """Return a label as text; a boolean and a whole number are written as in every other format."""
    if not isinstance(item, bool | int | float | str):
        raise ValueError(item)
    if isinstance(item, bool):
        return str(item).lower()
    if isinstance(item, str):
        item.encode()  # raises for a lone surrogate
    return str(int(item)) if isinstance(item, float) and item.is_integer() else str(item)


def _of_python(inside: str) -> list[str] | None:
    """Return the texts between the commas of a Python list; NumPy writes none between them."""
    labels: list[str] = []
    try:
        for token in tokenize.generate_tokens(io.StringIO(f"({inside})").readline):
            if token.type in (tokenize.STRING, tokenize.NUMBER, tokenize.NAME):
                labels += [] if token.string in _NONE else [_text(ast.literal_eval(token.string))]
            elif token.type not in _ENDS and token.string not in ("(", ",", ")"):
                return None
    except (tokenize.TokenError, SyntaxError, ValueError):
        return None
    return labels


def _bare(inside: str) -> list[str] | None:
    """Return the texts between the commas of a list without quotes, or the numbers that NumPy writes without commas."""
    if re.search(r"[\[\]{}()]", inside):
        return None
    if re.fullmatch(r"\s*-?[\d.]+(\s+-?[\d.]+)+\s*", inside):
        inside = ",".join(inside.split())
    parts = [part.strip() for part in inside.split(",")]
    return [_text(float(part)) if _FLOAT.fullmatch(part) else part for part in parts if part and part not in _NONE]
