"""JSON Lines read line by line: the keys of the rows, and the line of a fault."""

import itertools
import json
from collections.abc import Collection, Iterator
from typing import Any

from berth.errors import BerthError

_KEYS_FROM = 100
"""Rows whose keys are read to find the columns: a row may leave one out."""

NOT_AN_OBJECT = 'is not a JSON object. Write one object a line, such as {"text": "..."}.'

Lines = Iterator[tuple[int, str]]
"""The lines of a file that are not blank, with their numbers from 1."""


def keys(name: str, lines: Lines, wanted: Collection[str]) -> list[str]:
    """Return the keys of the first rows, and of as many more as it takes to find all of `wanted`.

    The keys of objects in a row are there with dots between them: `label.name`.
    """
    found: dict[str, None] = {}
    for place, (number, line) in enumerate(lines):
        if place >= _KEYS_FROM and all(column in found for column in wanted):
            break
        record, why = _parsed(line)
        if why:
            raise BerthError(f"{name}: line {number} {why}")
        _add_keys(found, record)
    return list(found)


def fault(name: str, lines: Lines) -> str:
    """Return what is wrong with the first line that is not a JSON object; empty if each is one."""
    for number, line in lines:
        _, why = _parsed(line)
        if why:
            return f"{name}: line {number} {why}"
    return ""


def line_of(row: int, lines: Lines) -> int:
    """Return the number of the line that holds the row `row`, both from 1: a file may have blank lines."""
    return next(itertools.islice(lines, row - 1, None))[0]


def pointers(column: str) -> list[str]:
    """Return the JSON pointers (RFC 6901) at which `column` may be: as a key, and as a path with dots."""
    key = column.replace("~", "~0").replace("/", "~1")
    return [f"/{key}"] + ([f"/{key.replace('.', '/')}"] if "." in column else [])


def _parsed(line: str) -> tuple[dict[str, Any], str]:
    """Return the row in `line`, and what is wrong with it; the message has nothing of the row's text."""
    try:
        record = json.loads(line)
    except ValueError as error:
        return {}, f"is not JSON ({error}). Write one JSON object a line."
    except RecursionError:
        return {}, "is not JSON (nested too deeply). Write one JSON object a line."
    if not isinstance(record, dict):
        return {}, NOT_AN_OBJECT
    return record, ""


def _add_keys(found: dict[str, None], record: dict[str, Any], prefix: str = "") -> None:
    for key, value in record.items():
        found[f"{prefix}{key}"] = None
        if isinstance(value, dict):
            _add_keys(found, value, f"{prefix}{key}.")
