"""The recipe `contrast`: what is drawn, what is lost, and that few texts are enough for it."""

import numpy as np
import pytest
import tensorflow as tf

from components.train.contrast import contrastive_loss, draw

TARGETS = np.array([0] * 5 + [1] * 3 + [2], np.int32)


def test_pairs_are_of_one_label_and_labels_come_equally_often():
    pairs = draw(TARGETS, 30, np.random.default_rng(0))
    assert (TARGETS[pairs[:, 0]] == TARGETS[pairs[:, 1]]).all()
    assert np.bincount(TARGETS[pairs[:, 0]]).tolist() == [10, 10, 10]
    assert [(first == second) for first, second in pairs] == [TARGETS[first] == 2 for first, _ in pairs]


def test_vectors_that_tell_labels_apart_lose_nothing():
    targets = tf.constant([0, 0, 1, 1])
    apart = tf.constant([[2.0, 0.0], [1.0, 0.0], [0.0, 1.0], [0.0, 3.0]])
    assert contrastive_loss(apart, targets).numpy() == pytest.approx(0, abs=1e-6)
    alike = tf.ones([4, 2])
    assert contrastive_loss(alike, targets).numpy() == pytest.approx(0.5), "all of the half that is about others"


def test_a_batch_of_one_label_has_a_finite_gradient():
    vectors = tf.Variable([[1.0, 0.5], [1.0, 0.5]])
    with tf.GradientTape() as tape:
        loss = tf.reduce_mean(contrastive_loss(vectors, tf.constant([0, 0])))
    assert np.isfinite(tape.gradient(loss, vectors)).all()
