"""The difference between a collapsed model, a sure one, and one that has hardly begun."""

from types import SimpleNamespace

import numpy as np
import pytest

from berth.errors import BerthError
from components.train.collapse import collapse_error, is_collapsed, is_gone, shares_of, spread, texts_of_every_class
from components.train.task import ClassificationTask

CONSTANT = np.tile(np.array([[1.0, 0.0]], np.float32), (256, 1))
HALVES = np.array([0.5, 0.5])
RARE = np.array([0] * 9_900 + [1] * 100, np.int32)


def test_one_prediction_is_no_collapse_if_it_is_always_right():
    assert not is_collapsed(CONSTANT, np.zeros(256, np.int32), HALVES, 0.01)


def test_one_prediction_is_a_collapse_if_the_labels_differ():
    assert is_collapsed(CONSTANT, np.array([0] * 255 + [1], np.int32), HALVES, 0.01)


def test_a_rare_class_is_among_the_texts_that_are_looked_at():
    """The first 256 rows of 1% positives may have none."""
    rows = texts_of_every_class(RARE)
    assert len(rows) == 256
    assert RARE[rows].sum() == 100
    several = np.zeros((1_000, 3), np.int32)
    several[990:, 1] = 1
    assert several[texts_of_every_class(several), 1].sum() == 10


def test_a_model_that_ranks_a_rare_class_has_not_collapsed():
    """All its probabilities are small, and so are their differences."""
    logits = np.where(RARE == 1, -3.0, -5.0)
    second = 1 / (1 + np.exp(-logits))
    ranked = np.stack([1 - second, second], -1).astype(np.float32)
    assert ranked.std(0).mean() < 0.1 * 0.05
    assert not is_collapsed(ranked, RARE, shares_of(RARE, 2), 0.05 * 4)
    assert spread(ranked) == pytest.approx(logits.std(), rel=1e-3)


def test_a_saturated_model_has_collapsed_if_its_logits_differ_too():
    """They differ far from where they would have to be."""
    logits = np.random.default_rng(0).normal(-12, 0.5, 256)
    second = 1 / (1 + np.exp(-logits))
    saturated = np.stack([1 - second, second], -1).astype(np.float32)
    targets = np.array([0] * 230 + [1] * 26, np.int32)
    assert is_collapsed(saturated, targets, shares_of(targets, 2), 0.2)


@pytest.mark.parametrize(
    ("steps", "rate", "targets", "cure"),
    [
        (12, 1e-4, [0, 1], "Raise epochs: 12 updates are few"),
        (12, 1e-3, [0, 1], r"Lower learning_rate \(0.001\)"),
        (1_000, 1e-4, [0, 1], "Lower learning_rate"),
        (1_000, 1e-4, RARE, r"Raise epochs, or set .*balanced: only 1\.0% of the train texts are of 'spam'"),
    ],
)
def test_a_collapse_is_cured_by_its_cause(steps, rate, targets, cure):
    with pytest.raises(BerthError, match=f"the model has collapsed: it predicts 'ham' for every .*{cure}"):
        raise collapse_error(CONSTANT, np.array(targets, np.int32), ["ham", "spam"], rate, steps)


def test_a_collapse_ends_training_at_the_second_evaluation():
    """Not at the first: a model that has hardly begun may look like one."""
    task = ClassificationTask.__new__(ClassificationTask)
    task._looked_at, task._predicted, task._shares = np.arange(256), (CONSTANT, CONSTANT[:, 0]), HALVES
    task.validation = SimpleNamespace(targets=np.array([0, 1] * 128, np.int32))
    task._collapsed = lambda _: BerthError("collapsed")
    begun = {"spread": 0.1}
    task.check(begun)
    with pytest.raises(BerthError, match="collapsed"):
        task.check(begun)
    task.check(begun | {"of_use": 1.0})  # an evaluation before was of use, and is kept
    assert is_gone(CONSTANT, task.validation.targets, HALVES, 0.1)
