"""Integrals along a path, next to those that are known."""

import numpy as np

from berth.explaining.path_integral import integrate


def test_a_sudden_change_takes_more_steps_and_is_integrated():
    """A sure classifier's answer turns over within a small part of the path; a smooth one needs 7 places."""
    sharp = np.array([1.0, 200.0])
    asked = []

    def slope(place, rows):
        asked.append((place, len(rows)))
        bend = np.tanh(sharp[rows] * (place - 0.43))
        derivative = sharp[rows] * (1 - bend**2)
        return bend, np.stack([0.25 * derivative, 0.75 * derivative], 1)

    found = integrate(slope, 2, 0.01, 1e-6)
    difference = found.last - found.first
    assert np.abs(found.terms.sum(1) / difference - 1).max() < 0.01
    assert np.abs(found.terms[:, 1] / difference - 0.75).max() < 0.01
    assert sum(both == 2 for _, both in asked) == 7
    assert 20 < sum(rows for _, rows in asked) < 100


def test_what_cannot_be_integrated_ends_and_can_be_seen():
    found = integrate(lambda place, rows: (np.full(len(rows), place), np.zeros((len(rows), 1))), 1, 0.01, 0.0)
    assert (found.last - found.first, found.terms.sum()) == (1.0, 0.0)
