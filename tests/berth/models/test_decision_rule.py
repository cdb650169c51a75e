"""The decision rule: its two versions agree, and the threshold counts where it should."""

import numpy as np
import pytest
import tensorflow as tf

from berth.models.decision_rule import decisions, decisions_in_graph

KINDS = [("single_label", 1), ("single_label", 2), ("single_label", 4), ("multi_label", 1), ("multi_label", 3)]


@pytest.mark.parametrize(("task", "labels"), KINDS)
@pytest.mark.parametrize("texts", [0, 1, 500])
def test_numpy_and_tensorflow_decide_alike(task, labels, texts):
    """Ties, probabilities at the threshold and next to it in float32 included."""
    rng = np.random.default_rng(0)
    for threshold in (0.0, 0.3, 0.5, 1.0):
        probabilities = rng.random((texts, labels)).round(1).astype(np.float32)
        edges = np.float32(threshold) + np.array([-1, 0, 1], np.float32) * np.float32(3e-8)
        probabilities[: texts // 4] = rng.choice(edges, (texts // 4, labels))
        in_graph = tf.function(lambda own, bound=threshold: decisions_in_graph(own, task, bound))
        signature = tf.TensorSpec([None, labels], tf.float32)
        decided = decisions(probabilities, task, threshold)
        assert np.array_equal(in_graph.get_concrete_function(signature)(tf.constant(probabilities)), decided)
        assert decided.shape == (texts, labels)
        assert decided.dtype == bool
        if task == "single_label":
            assert (decided.sum(axis=1) == 1).all()


@pytest.mark.parametrize(("task", "labels"), KINDS)
def test_numpy_and_tensorflow_abstain_alike(task, labels):
    """Also next to the bound in float32, and with a threshold for each label of a multi-label task."""
    rng = np.random.default_rng(1)
    threshold = [0.2, 0.5, 0.9][:labels] if task == "multi_label" else 0.4
    for bound in (0.3, 0.6, 0.9):
        probabilities = rng.random((200, labels)).round(1).astype(np.float32)
        probabilities[:50] = np.float32(bound) + rng.choice([-1, 0, 1], (50, labels)) * np.float32(3e-8)
        in_graph = decisions_in_graph(tf.constant(probabilities), task, threshold, bound)
        decided = decisions(probabilities, task, threshold, bound)
        assert np.array_equal(in_graph, decided)
        if task == "single_label":
            sure = np.where(decisions(probabilities, task, threshold), probabilities, 0).max(axis=1)
            assert decided.sum(axis=1).tolist() == (sure >= np.float32(bound)).tolist()


def test_each_label_of_many_has_its_own_threshold():
    probabilities = np.array([[0.4, 0.4, 0.4], [0.1, 0.9, 0.3]], np.float32)
    decided = decisions(probabilities, "multi_label", [0.3, 0.5, 0.4])
    assert decided.tolist() == [[True, False, True], [False, True, False]]


def test_two_classes_are_decided_by_the_second_ones_threshold():
    probabilities = np.array([[0.7, 0.3], [0.6, 0.4], [0.2, 0.8]], np.float32)
    assert decisions(probabilities, "single_label", 0.4).argmax(axis=1).tolist() == [0, 1, 1]
    assert decisions(probabilities, "single_label").argmax(axis=1).tolist() == [0, 0, 1]


def test_multi_class_decisions_ignore_the_threshold():
    """Of equal probabilities the first class wins."""
    probabilities = np.array([[0.4, 0.4, 0.2], [0.2, 0.3, 0.5]], np.float32)
    assert decisions(probabilities, "single_label", 0.9).argmax(axis=1).tolist() == [0, 2]


def test_multi_label_takes_every_label_from_the_threshold_up():
    probabilities = np.array([[0.4, 0.5, 0.6], [0.1, 0.2, 0.3]], np.float32)
    assert decisions(probabilities, "multi_label", 0.5).tolist() == [[False, True, True], [False, False, False]]
