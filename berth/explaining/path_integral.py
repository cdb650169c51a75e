"""Integrals along a path, of many functions at once, in as many steps as each takes.

A function's values tell how well its derivative has been integrated: on every part of the path the integral has to be
the difference of the values at its ends. Parts where it is not are halved.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

_NODES = ((0.0, 1 / 12), (0.5 - 0.5 / 5**0.5, 5 / 12), (0.5 + 0.5 / 5**0.5, 5 / 12), (1.0, 1 / 12))
"""Places and weights of the Gauss-Lobatto rule of four points on [0, 1]: neighbours share the ends."""
_HALVINGS = 12
"""Most times that a part is halved."""

Slope = Callable[[float, np.ndarray], tuple[np.ndarray, np.ndarray]]
"""From a place on the path and the rows asked for to values, [rows], and the derivatives' terms, [rows, terms]."""


@dataclass(frozen=True)
class Integrals:
    """The integrals of `count` functions' derivatives from 0 to 1."""

    first: np.ndarray
    """The functions' values at 0, float64 [count]."""
    last: np.ndarray
    """Those at 1."""
    terms: np.ndarray
    """The integral of each term, float64 [count, terms]; their sum is about `last - first`."""


@dataclass(frozen=True, eq=False)
class _Part:
    start: float
    end: float
    terms: np.ndarray
    missed: float


def integrate(slope: Slope, count: int, relative: float, absolute: float) -> Integrals:
    """Return the integrals of `count` functions from 0 to 1, their terms' sums as near to the differences as asked.

    The sums may miss a difference by the share `relative` of it, or by `absolute` if that is more; they miss it by more
    where halving the parts does not help.

    Args:
        slope: Asked for the functions' values and derivatives along the path, each place of each function once.
        count: How many functions.
        relative: As above.
        absolute: As above.

    Example:
        >>> import numpy as np
        >>> def square(place, rows):  # f(x) = x * x, whose derivative has the one term 2x
        ...     return np.full(len(rows), place**2), np.full((len(rows), 1), 2 * place)
        >>> integrate(square, 1, 0.01, 0.01).terms.round(6).tolist()
        [[1.0]]
    """
    path = _Path(slope, count)
    everything = np.arange(count)
    parts: list[list[_Part]] = [[] for _ in range(count)]
    wanted = {(0.0, 0.5): everything, (0.5, 1.0): everything}
    for halvings in range(_HALVINGS + 1):
        for (start, end), rows in wanted.items():
            for row, part in zip(rows.tolist(), path.integrated(start, end, rows), strict=True):
                parts[row].append(part)
        halves: dict[tuple[float, float], list[int]] = {}
        for row, own in enumerate(parts):
            allowed = max(absolute, relative * abs(path.value(1.0, row) - path.value(0.0, row)))
            coarse = _too_coarse(own, allowed) if halvings < _HALVINGS else []
            parts[row] = [part for part in own if part not in coarse]
            for part in coarse:
                middle = (part.start + part.end) / 2
                for half in ((part.start, middle), (middle, part.end)):
                    halves.setdefault(half, []).append(row)
        wanted = {half: np.array(rows) for half, rows in halves.items()}
    terms = np.stack([np.sum([part.terms for part in own], axis=0) for own in parts])
    ends = [np.array([path.value(place, row) for row in range(count)]) for place in (0.0, 1.0)]
    return Integrals(ends[0], ends[1], terms)


def _too_coarse(parts: list[_Part], allowed: float) -> list[_Part]:
    """Return the parts to halve where all together miss more than `allowed`."""
    if abs(sum(part.missed for part in parts)) <= allowed:
        return []
    worst = max(abs(part.missed) for part in parts)
    return [part for part in parts if abs(part.missed) >= min(worst, allowed / 4)]


class _Path:
    """The functions' values and the terms of their derivatives, each place of each function asked for once."""

    def __init__(self, slope: Slope, count: int) -> None:
        self._slope, self._count = slope, count
        self._values: dict[float, np.ndarray] = {}
        self._terms: dict[float, np.ndarray] = {}

    def value(self, place: float, row: int) -> float:
        return float(self._values[place][row])

    def integrated(self, start: float, end: float, rows: np.ndarray) -> list[_Part]:
        """Return the part from `start` to `end` of each of the functions `rows`."""
        width = end - start
        places = [start, *(start + width * node for node, _ in _NODES[1:-1]), end]
        terms = sum(width * weight * self._at(place, rows) for place, (_, weight) in zip(places, _NODES, strict=True))
        found = np.asarray(terms)
        missed = found.sum(-1) - (self._values[end] - self._values[start])[rows]
        return [_Part(start, end, *one) for one in zip(found, missed.tolist(), strict=True)]

    def _at(self, place: float, rows: np.ndarray) -> np.ndarray:
        """Return the terms of the derivatives at `place`, float64 [rows, terms]."""
        known = self._values.get(place, np.full(self._count, np.nan))
        new = rows[np.isnan(known[rows])]
        if len(new):
            values, terms = self._slope(place, new)
            if place not in self._values:
                self._values[place] = known
                self._terms[place] = np.zeros((self._count, terms.shape[1]))
            self._values[place][new], self._terms[place][new] = values, terms
        return self._terms[place][rows]
