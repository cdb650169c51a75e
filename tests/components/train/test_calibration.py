"""Calibration: the temperature is found, is left out where it is noise, and is part of the exported model."""

import numpy as np
import pytest

from components.train.calibration import temperature


def simulated(task: str, classes: int, texts: int, sharp: float):
    """Return probabilities of logits that are `sharp` times too large, and targets."""
    rng = np.random.default_rng(classes)
    logits = rng.normal(size=(texts, classes)) * 2
    if task == "multi_label":
        truth = rng.random((texts, classes)) < 1 / (1 + np.exp(-logits))
        return (1 / (1 + np.exp(-sharp * logits))).astype(np.float32), truth.astype(np.int32)
    own, given = (np.exp(scale * logits) / np.exp(scale * logits).sum(1, keepdims=True) for scale in (1, sharp))
    truth = (own.cumsum(axis=1) < rng.random((texts, 1))).sum(axis=1)
    return given.astype(np.float32), truth.astype(np.int32)


@pytest.mark.parametrize(("task", "classes"), [("single_label", 2), ("single_label", 5), ("multi_label", 4)])
@pytest.mark.parametrize("sharp", [0.5, 2.5])
def test_temperature_of_wrong_confidence_is_found(task, classes, sharp):
    found = temperature(*simulated(task, classes, 4_000, sharp), task)
    assert found.value == pytest.approx(sharp, rel=0.1)
    assert found.after < found.before


@pytest.mark.parametrize(("texts", "sharp"), [(4_000, 1.0), (10, 1.2)])
def test_without_certain_gain_the_model_stays_as_it_is(texts, sharp):
    found = temperature(*simulated("single_label", 3, texts, sharp), "single_label")
    assert (found.value, found.after) == (1.0, found.before)
