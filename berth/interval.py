"""Intervals of scores, from resamples of the bootstrap (Efron and Tibshirani 1993)."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True)
class Interval:
    """A score, and the bounds that it lies between with the confidence that was asked for."""

    value: float
    low: float
    high: float


def interval(value: float, resampled: "np.ndarray", confidence: float) -> Interval:
    """Return the percentile interval of a score.

    Args:
        value: The score itself.
        resampled: The score in each resample, float64 [resamples]; those that are not finite are left out.
        confidence: The share of resamples inside the interval, such as 0.95.

    Example:
        >>> import numpy as np
        >>> interval(0.5, np.arange(101) / 100, 0.5)
        Interval(value=0.5, low=0.25, high=0.75)
    """
    import numpy as np

    finite = resampled[np.isfinite(resampled)]
    if not len(finite):
        return Interval(value, value, value)
    low, high = np.quantile(finite, [(1 - confidence) / 2, (1 + confidence) / 2])
    return Interval(value, float(low), float(high))
