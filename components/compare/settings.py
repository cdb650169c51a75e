"""A run's settings as they reach the compare step: one text of `name=value`."""

import json
from typing import Any

from berth.settings import SETTINGS_END


def canonical(settings: str) -> str:
    """Return `settings` the same whatever order KFP gave the keys of a dict, and however it wrote a number."""
    pairs = (setting.partition("=") for setting in settings.split(SETTINGS_END))
    return json.dumps({name: _value(text) for name, _, text in pairs}, sort_keys=True)


def _value(text: str) -> Any:
    try:
        value = json.loads(text)
    except ValueError:
        return text
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else value
