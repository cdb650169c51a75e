"""The difference between a collapsed model and a sure one."""

from types import SimpleNamespace

import numpy as np
import pytest

from berth.errors import BerthError
from components.train import collapse


def judge(monkeypatch, targets, steps=1_000, rate=1e-4):
    """Judge a model that is sure of the first class whatever the text is."""
    predicted = np.tile(np.array([[1.0, 0.0]], np.float32), (len(targets), 1))
    monkeypatch.setattr(collapse, "_first_probabilities", lambda *_: predicted)
    validation = SimpleNamespace(targets=np.array(targets, np.int32))
    collapse.check_not_collapsed(None, None, validation, 0.01, ["ham", "spam"], rate, steps)


def test_one_prediction_is_no_collapse_if_it_is_always_right(monkeypatch):
    """None of the texts that are checked may be of a rare class."""
    judge(monkeypatch, [0] * 256)


def test_one_prediction_is_a_collapse_if_the_labels_differ(monkeypatch):
    with pytest.raises(BerthError, match="the model has collapsed: it predicts 'ham'"):
        judge(monkeypatch, [0] * 255 + [1])


@pytest.mark.parametrize(
    ("steps", "rate", "cure"),
    [
        (12, 1e-4, "Raise epochs: 12 updates are few"),
        (12, 1e-3, r"Lower learning_rate \(0.001\)"),
        (1_000, 1e-4, "Lower learning_rate"),
    ],
)
def test_a_collapse_is_cured_by_its_cause(monkeypatch, steps, rate, cure):
    with pytest.raises(BerthError, match=cure):
        judge(monkeypatch, [0] * 255 + [1], steps, rate)
