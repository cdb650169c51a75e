"""Metadata of artifacts, which on Kubeflow holds only texts and finite numbers.

KFP keeps it in ML Metadata and reads it back for the next step (backend/src/v2/metadata/converter.go): a list or a dict
comes back inside another dict, a bool as 0 or 1; null and NaN fail the step. It travels in an argument of the next
step's process, of which Linux takes 128 KiB: what grows with the data belongs into a file of the artifact.
"""

import json
import math
from collections.abc import Mapping
from typing import TypeVar

Value = TypeVar("Value")


def packed(value: object) -> str:
    """Return a list or a dict as a text, which `unpacked` reads.

    Example:
        >>> packed(["ham", "spam"])
        '["ham", "spam"]'
    """
    return json.dumps(value, ensure_ascii=False)


def unpacked(metadata: Mapping[str, str], key: str, default: Value) -> Value:
    """Return what is packed under `key` of an artifact's metadata, or `default` where there is nothing.

    Example:
        >>> unpacked({"labels": packed(["ham", "spam"])}, "labels", [])
        ['ham', 'spam']
    """
    text = metadata.get(key)
    return json.loads(text) if text else default


def finite(numbers: Mapping[str, float]) -> dict[str, float]:
    """Return `numbers` without those that are not finite, which fail a step on Kubeflow.

    Example:
        >>> finite({"loss": 0.5, "mcc": float("nan")})
        {'loss': 0.5}
    """
    return {name: value for name, value in numbers.items() if math.isfinite(value)}
