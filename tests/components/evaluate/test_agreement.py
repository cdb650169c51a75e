"""Differences between two computations of one model: those of float32, and others."""

import numpy as np
import pytest

from components.evaluate import model_process
from components.evaluate.agreement import BOUND, largest_difference


def sigmoid(logits: np.ndarray) -> np.ndarray:
    return (1 / (1 + np.exp(-logits.astype(np.float32)))).astype(np.float32)


LOGITS = np.random.default_rng(0).normal(0, 6, (1000, 2))


def test_rounding_alone_is_no_difference():
    noise = np.random.default_rng(1).normal(0, 2e-5, LOGITS.shape)
    assert largest_difference(sigmoid(LOGITS + noise), sigmoid(LOGITS)) < BOUND / 4


def test_tf32_is_a_difference():
    """Rounding a vector of 384 numbers to 10 bits of mantissa moves logits by more than the bound."""
    rng = np.random.default_rng(0)
    vectors, kernel = rng.normal(0, 1, (1000, 384)).astype(np.float32), rng.normal(0, 0.2, (384, 2)).astype(np.float32)

    def rounded(values: np.ndarray) -> np.ndarray:
        return ((values.view(np.uint32) + 0x1000) & 0xFFFFE000).astype(np.uint32).view(np.float32)

    assert largest_difference(sigmoid(rounded(vectors) @ rounded(kernel)), sigmoid(vectors @ kernel)) > BOUND


def test_a_sure_model_is_compared_as_strictly_as_an_unsure_one():
    """A thousandth of the probability is little in the middle and much at the end."""
    assert largest_difference(np.float32([[0.0002]]), np.float32([[0.0001]])) == pytest.approx(np.log(2), rel=0.01)
    assert largest_difference(np.float32([[0.5002]]), np.float32([[0.5]])) < BOUND


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_what_is_not_a_number_differs(bad):
    assert largest_difference(np.float32([[bad, 0.5]]), np.float32([[0.5, 0.5]])) > BOUND


class _Batched:
    """Answers a text in a batch with `shift` more than alone, and notes the texts that it was asked."""

    def __init__(self, shift: float) -> None:
        self.shift, self.asked = shift, set()

    def predict(self, texts, pairs, batch_size):
        self.asked |= set(texts)
        return None, np.full((len(texts), 1), 0.5 + self.shift * (len(texts) > 1), np.float32)


@pytest.mark.parametrize(("shift", "problems"), [(0.0, []), (0.1, ["answers a batch of 256 differently, by 4.1e-01"])])
def test_an_answer_must_not_depend_on_the_rest_of_its_batch(shift, problems):
    model = _Batched(shift)

    found = model_process._batches(model, ["long" * 999, "b", "long" * 999, "a"], None, np.full((4, 1), 0.5))

    assert [problem.partition(" in the")[0] for problem in found] == problems
    assert model.asked == {"a", "b"}
