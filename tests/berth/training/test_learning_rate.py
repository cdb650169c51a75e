"""The learning rate over a run."""

import itertools

import pytest

from berth.training.learning_rate import warmup_then_linear_decay


def test_the_rate_rises_to_its_peak_and_falls_to_nothing():
    rates = [warmup_then_linear_decay(done, 32, 3200, 1.0, 0.1) for done in range(0, 3200, 32)]
    assert rates[0] == pytest.approx(0.1)
    assert max(rates) == rates[9] == pytest.approx(1.0)
    assert all(earlier > later for earlier, later in itertools.pairwise(rates[9:]))
    assert 0 < rates[-1] < 0.02
    assert warmup_then_linear_decay(0, 32, 3200, 1.0, 0.0) == pytest.approx(1.0)


def test_it_counts_texts_whatever_the_batches_are():
    assert warmup_then_linear_decay(1600, 8, 3200, 1.0, 0.1) == pytest.approx(
        warmup_then_linear_decay(1600, 64, 3200, 1.0, 0.1), rel=0.05
    )
