"""Pydantic's errors in the words of the configuration file."""

import re
from collections.abc import Sequence
from types import NoneType, UnionType
from typing import TYPE_CHECKING, Any, Union, get_args, get_origin

from pydantic.fields import FieldInfo

from berth.errors import nearest
from berth.settings import Section
from berth.storage.addresses import without_secrets
from pipeline.config.auto import takes_auto

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails


def explain_all(root: type[Section], problems: Sequence["ErrorDetails"]) -> str:
    """Say pydantic's errors in one line; of a field that is `auto` or a number, only why it is not such a number."""
    numbers = [problem for problem in problems if not any(str(part).startswith("literal[") for part in problem["loc"])]
    return "; ".join(explain(root, problem) for problem in numbers or problems)


def explain(root: type[Section], problem: "ErrorDetails") -> str:
    """Say one pydantic error in the words of the file: which key, what is wrong, what was expected."""
    parts = [str(part) for part in problem["loc"] if not _CHOICE.match(str(part))]
    location = ".".join([*(_WRITTEN_AS.get(part, part) for part in parts[:1]), *parts[1:]])
    if problem["type"] == "extra_forbidden":
        section = _section(root, problem["loc"][:-1])
        keys = [field.alias or name for name, field in section.model_fields.items()]
        hint = nearest(str(problem["loc"][-1]), keys) or f" Valid keys: {', '.join(keys)}."
        return f"unknown key {location!r}.{hint}"
    if problem["type"] == "missing":
        return f"{location!r} is missing"
    message = problem["msg"].removeprefix("Value error, ")
    if problem["type"] == "value_error":
        return f"{location}: {message}" if location else message
    if problem["type"] == "model_type":
        message = "Input should be a mapping of settings"
    *outer, last = parts
    field = _fields(_section(root, outer)).get(last)
    if field and takes_auto(field):
        message = message.replace("Input should be", "Input should be auto or", 1)
    given = problem["input"]
    # A number is a text in the file, and is shown as it is written.
    shown = given if isinstance(given, str) and _NUMBER.fullmatch(given) else without_secrets(repr(given))
    return f"{location}: {message[0].lower()}{message[1:]}, not {shown}"


def _section(root: type[Section], location: Sequence[int | str]) -> Any:
    """Return the type of what is at `location`; None where pydantic's location is not of fields alone."""
    section: Any = root
    for part in location:
        if get_origin(section) is dict:
            section = get_args(section)[1]
        elif field := _fields(section).get(str(part)):
            section = without_none(field.annotation)
        else:
            return None
    return section


def _fields(section: object) -> dict[str, FieldInfo]:
    return getattr(section, "model_fields", {})


def without_none(annotation: Any) -> Any:
    """Return the type of a field that may have no value; any other type as it is."""
    parts = get_args(annotation) if get_origin(annotation) in (UnionType, Union) else ()
    left = [part for part in parts if part is not NoneType]
    return left[0] if len(left) == 1 else annotation


_WRITTEN_AS = {"new_encoder": "encoder"}
"""Fields that a file sets by a mapping as the value of another."""
_CHOICE = re.compile(r"literal\[|constrained-")
"""pydantic's names for the two kinds of a field that is `auto` or a number."""
_NUMBER = re.compile(r"[-+]?[0-9.]+(e[-+]?[0-9]+)?", re.IGNORECASE)
