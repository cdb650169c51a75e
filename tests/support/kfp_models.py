"""Checks of request bodies by the official models of the KFP API, kfp_server_api."""

import re
from typing import Any

import kfp_server_api

_SERVERS_OWN = {
    *("run_id", "recurring_run_id", "state", "state_history", "status", "storage_state", "run_details", "error"),
    *("created_at", "updated_at", "finished_at", "scheduled_at", "last_run_created_at", "plugins_output"),
}
_SIMPLE = {"str": str, "int": int, "bool": bool}


class Refused(Exception):
    """An answer other than 200."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


def checked(model: str, body: Any, at: str = "") -> None:
    """Refuse what the official model does not have, what has another type, and what only the server sets."""
    kind = getattr(kfp_server_api, model)
    if not isinstance(body, dict):
        raise Refused(400, f"{at or model}: not an object")
    fields = {kind.attribute_map[name]: type_name for name, type_name in kind.openapi_types.items()}
    for name, value in body.items():
        if name not in fields or (not at and name in _SERVERS_OWN):
            raise Refused(400, f"{at or model}: unknown field {name!r}")
        _fits(fields[name], value, f"{at or model}.{name}")


def _fits(kind: str, value: Any, at: str) -> None:
    if kind in _SIMPLE:
        if type(value) is not _SIMPLE[kind]:
            raise Refused(400, f"{at}: {value!r} is not a {kind}")
    elif kind == "datetime":
        if not re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)", str(value)):
            raise Refused(400, f"{at}: {value!r} is not an RFC 3339 time")
    elif match := re.fullmatch(r"dict\(str, (\w+)\)|list\[(\w+)\]", kind):
        _each_fits(match[1], match[2], value, at)
    elif kind != "object":
        _fits_official(kind, value, at)


def _each_fits(in_map: str | None, in_list: str | None, value: Any, at: str) -> None:
    if in_map:
        if not isinstance(value, dict):
            raise Refused(400, f"{at}: {value!r} is not a map")
        for name, inner in value.items():
            _fits(in_map, inner, f"{at}.{name}")
    elif in_list:
        if not isinstance(value, list):
            raise Refused(400, f"{at}: {value!r} is not a list")
        for number, inner in enumerate(value):
            _fits(in_list, inner, f"{at}[{number}]")


def _fits_official(kind: str, value: Any, at: str) -> None:
    official = getattr(kfp_server_api, kind)
    if official.openapi_types:
        checked(kind, value, at)
    elif value not in {choice for name, choice in vars(official).items() if name.isupper()}:
        raise Refused(400, f"{at}: {value!r} is not a {kind}")
