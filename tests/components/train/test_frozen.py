"""The recipe `frozen`: how strongly its head is regularised."""

from types import SimpleNamespace

import numpy as np
import pytest
import tensorflow as tf

from components.train import frozen
from components.train.frozen import best_head, loss_with_random_labels


def test_head_finds_rare_texts_with_wrong_validation_labels(monkeypatch):
    """One text of seven is of the second class; every eighth validation label is wrong, and no train label."""
    rng = np.random.default_rng(0)
    truth = np.arange(700) % 7 // 6
    vectors = (rng.normal(size=(700, 16)) + 3 * truth[:, None]).astype(np.float32)
    wrong = np.where(np.arange(700) % 8 == 0, 1 - truth, truth)

    def probabilities(logits):
        return tf.concat([1 - tf.sigmoid(logits), tf.sigmoid(logits)], -1)

    class Split(SimpleNamespace):
        def __len__(self):
            return len(self.targets)

    monkeypatch.setattr(frozen, "encode", lambda _task, split: split.vectors)
    splits = {
        "train": Split(vectors=vectors[:400], targets=truth[:400]),
        "validation": Split(vectors=vectors[400:], targets=wrong[400:]),
    }
    task = SimpleNamespace(classifier=SimpleNamespace(probabilities=probabilities), **splits)
    kernel, bias = best_head(task)
    assert ((vectors @ kernel + bias > 0)[:, 0] == truth).mean() > 0.99
    assert np.abs(kernel).max() > 0.3, "and it is sure"


def test_components_that_hardly_differ_are_not_scaled_up(monkeypatch):
    """Rounding makes such differences, and another ones where the model is served."""
    rng = np.random.default_rng(0)
    targets = np.arange(40) % 2
    vectors = np.ones((40, 8), np.float32)
    vectors[:, 0] += targets
    vectors[:, 1:] += rng.normal(size=(40, 7)) * 1e-7
    monkeypatch.setattr(frozen, "encode", lambda _task, split: split.vectors)
    split = type("Split", (), {"vectors": vectors, "targets": targets, "__len__": lambda own: 40})()
    classifier = SimpleNamespace(probabilities=lambda logits: tf.concat([1 - logits, logits], -1))
    kernel, bias = best_head(SimpleNamespace(classifier=classifier, train=split, validation=split))
    assert ((vectors @ kernel + bias > 0)[:, 0] == targets).all()
    assert np.abs(kernel[1:]).max() < 0.1


def test_wrong_validation_labels_choose_no_unsure_model():
    """Of 100 texts 10 have a wrong label: by plain log loss a model that knows the classes' shares alone is best."""
    targets = np.arange(100) % 5 // 4
    wrong = np.where(np.arange(100) % 10 == 3, 1 - targets, targets)
    sure = np.where(np.stack([targets == 0, targets == 1], 1), 0.999, 0.001).astype(np.float32)
    unsure = np.tile(np.float32([0.74, 0.26]), (100, 1))
    plain = [-np.log(own[np.arange(100), wrong]).mean() for own in (sure, unsure)]
    assert plain[0] > plain[1]
    (of_sure, share), (of_unsure, _) = (loss_with_random_labels(own, wrong) for own in (sure, unsure))
    assert of_sure < of_unsure
    assert share == pytest.approx(0.2, abs=0.01), "half of the labels that are drawn at random are right"
    assert loss_with_random_labels(sure, targets) == (pytest.approx(-np.log(0.999), abs=1e-6), 0)


def test_wrong_labels_of_several_are_found_too():
    truth = np.stack([np.arange(200) % 2, np.arange(200) % 3 == 0], 1).astype(np.int32)
    sure = np.where(truth, 0.99, 0.01).astype(np.float32)
    truth[::10] = 1 - truth[::10]
    loss, share = loss_with_random_labels(sure, truth)
    assert share == pytest.approx(0.18, abs=0.02)
    assert loss < -np.log(np.where(truth, sure, 1 - sure)).mean()
