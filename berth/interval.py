"""Intervals of scores, from resamples of the bootstrap (Efron and Tibshirani 1993)."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True)
class Interval:
    """A score, and where it lies with the asked-for confidence."""

    value: float
    low: float
    high: float


def interval(value: float, resampled: "np.ndarray", confidence: float) -> Interval:
    """Return the percentile interval of `resampled`, [resamples], around `value`."""
    import numpy as np

    finite = resampled[np.isfinite(resampled)]
    if not len(finite):
        return Interval(value, value, value)
    low, high = np.quantile(finite, [(1 - confidence) / 2, (1 + confidence) / 2])
    return Interval(value, float(low), float(high))
