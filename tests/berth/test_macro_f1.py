"""Macro F1, the same in training, for the threshold and in the verdict."""

import numpy as np
import pytest

from berth.macro_f1 import macro_f1


def test_labels_that_nobody_has_or_decides_are_left_out():
    from sklearn.metrics import f1_score  # a second, in each process that collects the tests

    rng = np.random.default_rng(0)
    truth, decided = rng.integers(0, 3, (2, 50))
    as_matrix = [own[:, None] == np.arange(5) for own in (truth, decided)]
    assert macro_f1(*as_matrix) == pytest.approx(f1_score(truth, decided, average="macro"))
    assert macro_f1(as_matrix[0], as_matrix[0]) == 1
    several = rng.random((2, 40, 4)) < [0.3, 0.5, 0.1, 0.0]
    assert macro_f1(*several) == pytest.approx(f1_score(*several[:, :, :3], average="macro"))
    assert macro_f1(several[0] & False, several[0] & False) == 0
