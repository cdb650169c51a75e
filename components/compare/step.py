"""The compare step: a dataset and settings in; the champion's run, and whether anything differs from it, out."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass

from berth.code_version import code_version
from berth.registry import versions
from berth.tracking import tags


@dataclass(frozen=True)
class Comparison:
    """The champion's MLflow run, and whether the champion was made of the very same things."""

    champion_run: str
    """Empty without a champion, and where it was trained on the same data: they cannot have drifted from themselves."""
    settings_digest: str
    unchanged: bool
    verdict: str


def compare_with_champion(model_name: str, fingerprint: str, settings: Mapping[str, object]) -> Comparison:
    """Compare the data's `fingerprint`, the `settings` and this code with the champion of `model_name`."""
    digest = hashlib.sha256(canonical(settings).encode()).hexdigest()[:16]
    champion = versions.champion(model_name)
    if champion is None:
        return Comparison("", digest, False, "")
    mine = {tags.FINGERPRINT: fingerprint, tags.SETTINGS: digest, tags.CODE: code_version()}
    unchanged = all(champion.tags.get(name) == value for name, value in mine.items())
    same_data = champion.tags.get(tags.FINGERPRINT) == fingerprint
    return Comparison(
        "" if same_data else champion.tags.get(tags.PIPELINE_RUN, ""),
        digest,
        unchanged,
        f"UNCHANGED: data, settings and code are those of {model_name} version {champion.version}",
    )


def canonical(settings: Mapping[str, object]) -> str:
    """Return `settings` as a text: the same in whatever order KFP passes keys, and whether 3 is an int or a float.

    Example:
        >>> canonical({"epochs": 3, "batch_size": 32.0})
        '{"batch_size": 32.0, "epochs": 3.0}'
    """
    return json.dumps(_floats(settings), sort_keys=True)


def _floats(value: object) -> object:
    if isinstance(value, Mapping):
        return {key: _floats(own) for key, own in value.items()}
    if isinstance(value, list):
        return [_floats(own) for own in value]
    return float(value) if isinstance(value, int) and not isinstance(value, bool) else value
