"""Request bodies held against the official models of the KFP API, kfp_server_api."""

import re
from typing import Any

import kfp_server_api

_SERVERS_OWN = {
    *("run_id", "recurring_run_id", "state", "state_history", "status", "storage_state", "run_details", "error"),
    *("created_at", "updated_at", "finished_at", "scheduled_at", "last_run_created_at", "plugins_output"),
}


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
    simple = {"str": str, "int": int, "bool": bool}
    if kind in simple:
        if type(value) is not simple[kind]:
            raise Refused(400, f"{at}: {value!r} is not a {kind}")
    elif kind == "object":
        pass
    elif kind == "datetime":
        if not re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)", str(value)):
            raise Refused(400, f"{at}: {value!r} is not an RFC 3339 time")
    elif match := re.fullmatch(r"dict\(str, (\w+)\)", kind):
        if not isinstance(value, dict):
            raise Refused(400, f"{at}: {value!r} is not a map")
        for name, inner in value.items():
            _fits(match[1], inner, f"{at}.{name}")
    elif match := re.fullmatch(r"list\[(\w+)\]", kind):
        if not isinstance(value, list):
            raise Refused(400, f"{at}: {value!r} is not a list")
        for number, inner in enumerate(value):
            _fits(match[1], inner, f"{at}[{number}]")
    else:
        official = getattr(kfp_server_api, kind)
        if official.openapi_types:
            checked(kind, value, at)
        elif value not in {choice for name, choice in vars(official).items() if name.isupper()}:
            raise Refused(400, f"{at}: {value!r} is not a {kind}")
