"""AdamW with lazy embedding rows, against a dense reference written from the paper."""

import itertools

import numpy as np
import pytest
import tensorflow as tf

from components.train.optimizer import CLIP_NORM, AdamW, warmup_then_linear_decay

RATE, DECAY = 0.01, 0.1


def reference(weights, gradients_by_step, decays):
    """AdamW in NumPy (Loshchilov and Hutter 2019, algorithm 2, bias correction in the rate as BERT's and PyTorch's)."""
    weights = [weight.astype(np.float64) for weight in weights]
    m, v = ([np.zeros_like(weight) for weight in weights] for _ in range(2))
    for step, gradients in enumerate(gradients_by_step, 1):
        norm = np.sqrt(sum((gradient**2).sum() for gradient in gradients))
        scale = CLIP_NORM / max(norm, CLIP_NORM)
        for i, gradient in enumerate(gradients):
            m[i] = 0.9 * m[i] + 0.1 * gradient * scale
            v[i] = 0.999 * v[i] + 0.001 * (gradient * scale) ** 2
            correction = np.sqrt(1 - 0.999**step) / (1 - 0.9**step)
            weights[i] -= RATE * correction * m[i] / (np.sqrt(v[i]) + 1e-6) + RATE * decays[i] * weights[i]
    return weights


@pytest.fixture
def variables():
    rng = np.random.default_rng(0)
    return [tf.Variable(rng.standard_normal(shape).astype(np.float32)) for shape in ((6, 3), (3, 2), (2,))]


def gradients(step):
    rng = np.random.default_rng(step)
    return [rng.standard_normal(shape).astype(np.float32) for shape in ((6, 3), (3, 2), (2,))]


def test_dense_updates_are_the_paper_s_and_spare_one_dimension_from_decay(variables):
    start = [variable.numpy() for variable in variables]
    optimizer = AdamW(variables, DECAY)
    steps = [gradients(step) for step in range(5)]
    for step in steps:
        optimizer.apply([tf.constant(gradient) for gradient in step], variables, RATE)
    for variable, expected in zip(variables, reference(start, steps, [DECAY, DECAY, 0.0]), strict=True):
        assert variable.numpy() == pytest.approx(expected, abs=1e-5)


def test_sparse_updates_of_every_row_are_the_dense_ones(variables):
    start = [variable.numpy() for variable in variables]
    optimizer = AdamW(variables, DECAY)
    steps = [gradients(step) for step in range(5)]
    for table, *rest in steps:
        # Each row comes twice, its gradient in two parts, and out of order.
        rows = np.array([5, 0, 1, 2, 3, 4, 0, 1, 2, 3, 4, 5])
        parts = np.concatenate([table[rows[:6]] * 0.25, table[rows[6:]] * 0.75])
        sparse = tf.IndexedSlices(tf.constant(parts), tf.constant(rows), tf.constant([6, 3]))
        optimizer.apply([sparse, *map(tf.constant, rest)], variables, RATE)
    for variable, expected in zip(variables, reference(start, steps, [DECAY, DECAY, 0.0]), strict=True):
        assert variable.numpy() == pytest.approx(expected, abs=1e-5)


def test_rows_that_no_text_holds_stay_as_they_are(variables):
    start = variables[0].numpy()
    optimizer = AdamW(variables, DECAY)
    sparse = tf.IndexedSlices(tf.ones([1, 3]), tf.constant([2]), tf.constant([6, 3]))
    norm = optimizer.apply([sparse, None, None], variables, RATE)
    assert float(norm) == pytest.approx(3**0.5)
    changed = (variables[0].numpy() != start).any(axis=1)
    assert changed.tolist() == [False, False, True, False, False, False]


def test_the_rate_rises_to_its_peak_and_falls_to_nothing():
    rates = [float(warmup_then_linear_decay(step, 100, 1.0, 0.1)) for step in range(100)]
    assert rates[0] == pytest.approx(0.1)
    assert max(rates) == rates[9] == pytest.approx(1.0)
    assert all(earlier > later for earlier, later in itertools.pairwise(rates[9:]))
    assert 0 < rates[-1] < 0.02
    assert float(warmup_then_linear_decay(0, 100, 1.0, 0.0)) == pytest.approx(1.0)
