"""Losses of training, compared with the formulas in NumPy."""

from types import SimpleNamespace

import numpy as np
import pytest
import tensorflow as tf

from berth.training.settings import Training
from components.train.loss import objective

LOGITS = np.random.default_rng(0).normal(0, 2, (6, 3)).astype(np.float32)
CLASSES = np.array([0, 1, 2, 0, 0, 1], np.int32)
SEVERAL = np.array([[1, 0, 0], [1, 1, 0], [0, 0, 0], [1, 0, 1], [1, 0, 0], [1, 1, 1]], np.int32)
SINGLE = SimpleNamespace(labels=["a", "b", "c"], task="single_label", sigmoids=False)
TWO = SimpleNamespace(labels=["a", "b"], task="single_label", sigmoids=True)
MULTI = SimpleNamespace(labels=["a", "b", "c"], task="multi_label", sigmoids=True)


def loss(classifier, logits, targets, **training):
    aim = objective(Training(**training), classifier.task, targets, len(classifier.labels))
    return aim(classifier, tf.constant(logits), tf.constant(targets)).numpy()


def softmax(logits):
    exponents = np.exp(logits - logits.max(-1, keepdims=True))
    return exponents / exponents.sum(-1, keepdims=True)


def sigmoid(logits):
    return 1 / (1 + np.exp(-logits))


def test_without_extras_it_is_the_cross_entropy():
    assert loss(SINGLE, LOGITS, CLASSES) == pytest.approx(-np.log(softmax(LOGITS)[range(6), CLASSES]), rel=1e-5)
    p = sigmoid(LOGITS)
    expected = -(SEVERAL * np.log(p) + (1 - SEVERAL) * np.log(1 - p)).mean(-1)
    assert loss(MULTI, LOGITS, SEVERAL) == pytest.approx(expected, rel=1e-5)
    truth = CLASSES % 2
    p = sigmoid(LOGITS[:, 0])
    expected = -(truth * np.log(p) + (1 - truth) * np.log(1 - p))
    assert loss(TWO, LOGITS[:, :1], truth) == pytest.approx(expected, rel=1e-5)


def test_label_smoothing_gives_all_classes_a_share_of_the_truth():
    truth = np.eye(3)[CLASSES] * 0.9 + 0.1 / 3
    expected = -(truth * np.log(softmax(LOGITS))).sum(-1)
    assert loss(SINGLE, LOGITS, CLASSES, label_smoothing=0.1) == pytest.approx(expected, rel=1e-5)


def test_focal_loss_counts_what_is_certain_less():
    p = softmax(LOGITS)[range(6), CLASSES]
    expected = -((1 - p) ** 2) * np.log(p)
    assert loss(SINGLE, LOGITS, CLASSES, focal_gamma=2.0) == pytest.approx(expected, rel=1e-4)
    p = np.where(SEVERAL == 1, sigmoid(LOGITS), 1 - sigmoid(LOGITS))
    expected = (-((1 - p) ** 2) * np.log(p)).mean(-1)
    assert loss(MULTI, LOGITS, SEVERAL, focal_gamma=2.0) == pytest.approx(expected, rel=1e-4)


def test_balanced_weights_make_every_class_count_alike():
    plain, weighted = loss(SINGLE, LOGITS, CLASSES), loss(SINGLE, LOGITS, CLASSES, class_weights="balanced")
    weights = weighted / plain
    assert [weights[own == CLASSES].sum() for own in range(3)] == pytest.approx([2.0] * 3, rel=1e-5)
    logits = np.zeros((6, 3), np.float32)  # each label's loss is log 2 before its weight
    each = loss(MULTI, logits, SEVERAL, class_weights="balanced") * 3 / np.log(2)
    counts = SEVERAL.sum(0)
    expected = (SEVERAL * 6 / (2 * counts) + (1 - SEVERAL) * 6 / (2 * np.maximum(6 - counts, 1))).sum(-1)
    assert each == pytest.approx(expected, rel=1e-5)


def test_no_label_is_left_out_by_balanced_weights_or_rules():
    """A label on every text still counts, one on a single text does not drown the others."""
    targets = np.zeros((10_000, 2), np.int32)
    targets[:, 0] = 1
    targets[0, 1] = 1
    weights = objective(Training(class_weights="balanced"), "multi_label", targets, 2).class_weights
    assert weights[1].tolist() == [0.5, 100.0]
    assert weights[0, 1] == pytest.approx(0.5, rel=1e-3)


@pytest.mark.parametrize("gamma", [0.5, 1.0, 2.0])
@pytest.mark.parametrize(("model", "targets"), [(SINGLE, CLASSES), (MULTI, SEVERAL)], ids=["single", "multi"])
def test_focal_gradients_of_a_sure_model_are_finite(gamma, model, targets):
    truth = SEVERAL if model is MULTI else np.eye(3)[CLASSES]
    logits = tf.Variable(np.where(truth == 1, 60.0, -60.0).astype(np.float32))
    with tf.GradientTape() as tape:
        aim = objective(Training(focal_gamma=gamma), model.task, targets, 3)
        value = aim(model, logits, tf.constant(targets))
    assert np.isfinite(value).all()
    assert np.isfinite(tape.gradient(value, logits)).all()
