"""Intervals of shares: they hold the truth as often as they say, also where hardly a text is wrong."""

import numpy as np
import pytest

from berth.interval import Interval
from components.evaluate import intervals

SPLITS = [(texts, accuracy) for texts in (30, 100, 495) for accuracy in (0.9, 0.95, 0.98, 0.995)]
_ROUNDS = 4_000


@pytest.mark.parametrize(("texts", "accuracy"), SPLITS)
def test_interval_of_accuracy_covers_the_truth(texts, accuracy):
    right = np.random.default_rng(texts).binomial(texts, accuracy, _ROUNDS)
    low, high = intervals.exact(right, texts, 0.95)
    assert ((low <= accuracy) & (accuracy <= high)).mean() >= 0.945


@pytest.mark.parametrize("worse", [0.0, 0.02])
@pytest.mark.parametrize(("texts", "accuracy"), SPLITS)
def test_interval_of_a_gain_covers_the_truth(texts, accuracy, worse):
    """A model that is truly worse by that much is shown to be better than it in hardly more than 2.5 percent."""
    wrong = 1 - accuracy
    chances = [accuracy - worse - wrong / 2, wrong / 2 + worse, wrong / 2, wrong / 2]
    counts = np.random.default_rng(texts).multinomial(texts, chances, _ROUNDS)
    low, high = intervals.tango(counts[:, 1], counts[:, 2], texts, 0.95)
    assert ((low <= worse) & (worse <= high)).mean() >= 0.935
    assert (low > worse).mean() <= 0.04


def test_many_slices_of_equal_models_are_rarely_a_certain_drop():
    """Of 152 slices, as of one, at most 5 percent of equally good models have one that is worse for certain."""
    rng = np.random.default_rng(0)
    for slices in (1, 22, 152):
        counts = rng.multinomial(100, [0.85, 0.05, 0.05, 0.05], (1_000, slices))
        _, high = intervals.tango(counts[..., 1], counts[..., 2], 100, 1 - 0.05 / slices)
        assert (high < 0).any(axis=1).mean() <= 0.05


def test_models_that_differ_on_no_text_are_not_equal_for_certain():
    same = np.ones(495, bool)
    found = intervals.difference(same, same, 0.95)
    assert found.value == 0
    assert (found.low, found.high) == pytest.approx((-0.0077, 0.0077), abs=1e-4)


def test_intervals_have_their_closed_forms():
    """Tango's where no text tells the models apart, and the exact one where all or none are right."""
    z = intervals.quantile(0.95)
    low, high = intervals.tango(0, 0, [30, 495], 0.95)
    assert high.tolist() == pytest.approx([z**2 / (texts + z**2) for texts in (30, 495)])
    assert (low == -high).all()
    first, second = intervals.tango(9, 1, 44, 0.95), intervals.tango(1, 9, 44, 0.95)
    assert first == pytest.approx((-second[1], -second[0]))
    assert intervals.exact(0, 10, 0.95)[1] == pytest.approx(1 - 0.025**0.1)
    assert intervals.exact([0, 10], 10, 0.95)[0].tolist() == pytest.approx([0, 0.025**0.1])


def test_number_of_texts_that_shows_a_bound():
    assert intervals.texts_to_show(495, Interval(0.0, -0.012, 0.012), 0.005) == 2_900
    assert intervals.texts_for_share(0.9, 0.95) == 36
    assert intervals.exact(36, 36, 0.95)[0] >= 0.9 > intervals.exact(34, 34, 0.95)[0]


def test_mcnemar_counts_only_what_the_models_disagree_on():
    first = np.array([True] * 90 + [True] * 9 + [False])
    second = np.array([True] * 90 + [False] * 9 + [True])
    assert intervals.mcnemar(first, second) == pytest.approx(2 * (1 + 10) / 2**10)
    assert intervals.mcnemar(first, first) == 1
