"""Intervals of shares and of their differences, and how many texts it takes to show one.

A bootstrap cannot see what a split has no example of: of two models that differ on no text it gives a difference of
exactly zero, and calls that certain. The exact interval of a share (Clopper and Pearson 1934) and the score interval of
a paired difference (Tango 1998) ask instead which truths the counts do not contradict.
"""

from typing import TYPE_CHECKING

from berth.interval import Interval

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt


_HALVINGS = 50


def quantile(confidence: float) -> float:
    """Return how many standard deviations a two-sided interval of `confidence` reaches."""
    from scipy.special import ndtri

    return float(ndtri((1 + confidence) / 2))


def exact(right: "npt.ArrayLike", texts: "npt.ArrayLike", confidence: float) -> "tuple[np.ndarray, np.ndarray]":
    """Return the ends of the intervals of the shares `right` / `texts`, counts of any one shape.

    They hold the truth at least as often as they say (Clopper and Pearson 1934). Score intervals do not where hardly
    a text is wrong: at an accuracy of .995, those of 100 texts hold it in 91% for 95%.
    """
    import numpy as np
    from scipy.special import betaincinv

    right, texts = np.asarray(right, np.float64), np.asarray(texts, np.float64)
    wrong, outside = texts - right, (1 - confidence) / 2
    low = betaincinv(np.maximum(right, 1), wrong + 1, outside)
    high = betaincinv(right + 1, np.maximum(wrong, 1), 1 - outside)
    return np.where(right > 0, low, 0.0), np.where(wrong > 0, high, 1.0)


def tango(
    first: "npt.ArrayLike", second: "npt.ArrayLike", texts: "npt.ArrayLike", confidence: float
) -> "tuple[np.ndarray, np.ndarray]":
    """Return the ends of the intervals of what the share of a first model exceeds that of a second by.

    Args:
        first: How many texts only the first got right; counts of any one shape.
        second: How many only the second got right.
        texts: How many texts both were asked.
        confidence: Of the two-sided interval.
    """
    import numpy as np

    z = quantile(confidence)
    first, second, texts = np.broadcast_arrays(*(np.asarray(own, np.float64) for own in (first, second, texts)))
    observed = (first - second) / texts

    def score(difference: "np.ndarray") -> "np.ndarray":
        """Return how many standard deviations the counts are above what `difference` makes likely."""
        linear = (2 * texts - first + second) * difference - first - second
        only_second = (np.sqrt(linear**2 + 8 * texts * second * difference * (1 - difference)) - linear) / (4 * texts)
        variance = texts * (2 * only_second + difference * (1 - difference))
        excess = first - second - texts * difference
        return np.divide(excess, np.sqrt(np.maximum(variance, 0)), out=np.full_like(excess, np.inf), where=variance > 0)

    def bisect(inside: "np.ndarray", outside: "np.ndarray") -> "np.ndarray":
        for _ in range(_HALVINGS):
            middle = (inside + outside) / 2
            holds = np.abs(score(middle)) <= z
            inside, outside = np.where(holds, middle, inside), np.where(holds, outside, middle)
        return inside

    return bisect(observed, np.full_like(observed, -1.0)), bisect(observed, np.full_like(observed, 1.0))


def share(right: "np.ndarray", confidence: float) -> Interval:
    """Return the interval of the share of `right`, bool [texts]."""
    low, high = exact(right.sum(), len(right), confidence)
    return Interval(float(right.mean()), float(low), float(high))


def difference(first: "np.ndarray", second: "np.ndarray", confidence: float) -> Interval:
    """Return the interval of what two models' shares differ by; bool [texts] each, what they got right."""
    low, high = tango((first & ~second).sum(), (second & ~first).sum(), len(first), confidence)
    return Interval(float(first.mean() - second.mean()), float(low), float(high))


def texts_to_show(texts: int, seen: Interval, bound: float) -> int:
    """Return about how many texts an equally good model needs for its interval to stay above `-bound`.

    `seen` is the interval on `texts` texts. Its width shrinks with the root of the number of texts.
    """
    return round_up(texts * ((seen.value - seen.low) / bound) ** 2)


def texts_for_share(bound: float, confidence: float) -> int:
    """Return how many texts, all of them right, have an interval above `bound`."""
    import math

    return round_up(math.log((1 - confidence) / 2) / math.log(bound))


def round_up(texts: float) -> int:
    """Return `texts` rounded up to two digits: it is an estimate."""
    import math

    step = 10 ** max(0, math.floor(math.log10(max(texts, 1))) - 1)
    return math.ceil(texts / step) * step


def mcnemar(first: "np.ndarray", second: "np.ndarray") -> float:
    """Return the p-value of McNemar's exact test (1947) on what two models got right, bool [texts] each."""
    from scipy.stats import binomtest

    only_first, only_second = int((first & ~second).sum()), int((second & ~first).sum())
    if not only_first + only_second:
        return 1.0
    return float(binomtest(only_first, only_first + only_second, 0.5).pvalue)
