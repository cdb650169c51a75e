"""Parts of the test split that are looked at one by one: a good mean can hide users for whom nothing works."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from berth.data.dataset import PAIR, TEXT, Columns

if TYPE_CHECKING:
    import numpy as np


_LENGTHS = (5, 10, 20, 50, 100)
"""Words up to which a text belongs to a bucket."""
_VALUES = 50
"""Most values of a column that are slices, the most frequent ones."""


def slices(
    rows: Columns, truth: "np.ndarray", labels: Sequence[str], columns: Sequence[str], min_size: int
) -> "dict[str, np.ndarray]":
    """Return the slices of at least `min_size` texts: which texts are in each, bool [texts], by its name.

    They are: each label of `truth`, bool [texts, labels]; texts of so many words; each value of each of `columns`.
    """
    import numpy as np

    found = {f"label {label}": truth[:, column] for column, label in enumerate(labels)}
    words = np.array([len(text.split()) for text in rows[TEXT]])
    if PAIR in rows:
        words += np.array([len(text.split()) for text in rows[PAIR]])
    bucket = np.searchsorted(_LENGTHS, words)
    for number, name in enumerate(_bucket_names()):
        found[name] = bucket == number
    for column in columns:
        values = np.array(["" if value is None else str(value) for value in rows[column]], dtype=object)
        distinct, counts = np.unique(values, return_counts=True)
        for value in distinct[np.argsort(-counts, kind="stable")][:_VALUES]:
            found[f"{column} {value or '(empty)'}"] = values == value
    return {name: members for name, members in found.items() if members.sum() >= min_size}


def _bucket_names() -> list[str]:
    starts = [0, *(last + 1 for last in _LENGTHS)]
    names = [f"{first} to {last} words" for first, last in zip(starts, _LENGTHS, strict=False)]
    return [*names, f"over {_LENGTHS[-1]} words"]
