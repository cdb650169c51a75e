"""The decision rule: which labels a row of probabilities amounts to, in NumPy and in a TensorFlow graph.

MLflow ships this file with every model, and an application that loads one may have no use for TensorFlow's rule: that
one imports TensorFlow when it is called.
"""

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import tensorflow as tf


DEFAULT_THRESHOLD = 0.5


def decisions(probabilities: np.ndarray, task: str, threshold: float = DEFAULT_THRESHOLD) -> np.ndarray:
    """Return which labels apply.

    In a multi-label task every label whose probability is `threshold` or more. Of two classes the second one from the
    threshold up, else the first. Of more classes the most probable one, the first of equals.

    Args:
        probabilities: float32 [texts, labels].
        task: `single_label` or `multi_label`.
        threshold: Compared in the type of `probabilities`; not used beyond two classes.

    Returns:
        bool [texts, labels]; in a single-label task one in each row is true.

    Example:
        >>> decisions(np.array([[0.7, 0.3], [0.55, 0.45]], np.float32), "single_label", 0.4).argmax(axis=1)
        array([0, 1])
    """
    if task == "multi_label":
        return probabilities >= threshold
    if probabilities.shape[1] == 2:
        positive = probabilities[:, 1] >= threshold
        return np.stack([~positive, positive], axis=1)
    return np.arange(probabilities.shape[1]) == probabilities.argmax(axis=1)[:, None]


def decisions_in_graph(probabilities: "tf.Tensor", task: str, threshold: float = DEFAULT_THRESHOLD) -> "tf.Tensor":
    """Return what `decisions` returns, bool [batch, labels], for a float32 tensor whose number of labels is known."""
    import tensorflow as tf

    if task == "multi_label":
        return probabilities >= threshold
    if probabilities.shape[1] == 2:
        positive = probabilities[:, 1] >= threshold
        return tf.stack([~positive, positive], axis=1)
    classes = tf.range(probabilities.shape[1], dtype=tf.int64)
    return classes == tf.argmax(probabilities, axis=1)[:, tf.newaxis]
