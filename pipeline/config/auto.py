"""Fields that take `auto` or a number."""

from typing import Literal, get_args, get_origin

from pydantic import BeforeValidator
from pydantic.fields import FieldInfo

from berth.settings import AUTO


def number_or_auto(value: object) -> object:
    """Return 0 for `auto`: the pipeline's parameters are numbers. A 0 in the file is not meant as that."""
    if value == AUTO:
        return 0
    try:
        number = float(str(value))
    except ValueError:  # pydantic says what a number is
        return value
    if number <= 0:
        raise ValueError("write auto, or a number above 0")
    return value


Auto = BeforeValidator(number_or_auto)


def takes_auto(field: FieldInfo) -> bool:
    """Return whether `field` takes `auto` in place of a number."""
    choices = [
        choice for kind in get_args(field.annotation) if get_origin(kind) is Literal for choice in get_args(kind)
    ]
    return Auto in field.metadata or AUTO in choices
