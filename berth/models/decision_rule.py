"""The decision rule: which labels a row of probabilities amounts to, in NumPy and in a TensorFlow graph.

MLflow ships this file with every model, and an application that loads one may have no use for TensorFlow's rule: that
one imports TensorFlow when it is called.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import tensorflow as tf


DEFAULT_THRESHOLD = 0.5
Threshold = float | Sequence[float]
"""One for all labels or, in a multi-label task, one for each."""


def decisions(
    probabilities: np.ndarray, task: str, threshold: Threshold = DEFAULT_THRESHOLD, abstain_below: float = 0.0
) -> np.ndarray:
    """Return which labels apply.

    In a multi-label task every label whose probability is its `threshold` or more. Of two classes the second one from
    the threshold up, else the first. Of more classes the most probable one, the first of equals; and none of several
    classes where that one's probability is below `abstain_below`.

    Args:
        probabilities: float32 [texts, labels].
        task: `single_label` or `multi_label`.
        threshold: Compared in the type of `probabilities`; not used beyond two classes.
        abstain_below: Compared likewise; not used in a multi-label task.

    Returns:
        bool [texts, labels]; in a single-label task one in each row is true, or none.

    Example:
        >>> import numpy as np
        >>> decisions(np.array([[0.7, 0.3], [0.55, 0.45]], np.float32), "single_label", 0.4).argmax(axis=1)
        array([0, 1])
    """
    bounds = np.asarray(threshold, probabilities.dtype)
    if task == "multi_label":
        return probabilities >= bounds
    if probabilities.shape[1] == 2:
        positive = probabilities[:, 1] >= bounds
        decided = np.stack([~positive, positive], axis=1)
    else:
        decided = np.arange(probabilities.shape[1]) == probabilities.argmax(axis=1)[:, None]
    if not abstain_below:
        return decided
    sure = np.where(decided, probabilities, 0).max(axis=1) >= probabilities.dtype.type(abstain_below)
    return decided & sure[:, None]


def decisions_in_graph(
    probabilities: "tf.Tensor", task: str, threshold: Threshold = DEFAULT_THRESHOLD, abstain_below: float = 0.0
) -> "tf.Tensor":
    """Return what `decisions` returns, as a bool tensor [batch, labels]; also inside a graph.

    Args:
        probabilities: float32 [batch, labels]; the number of labels is known when the graph is traced.
        task: As for `decisions`.
        threshold: Likewise.
        abstain_below: Likewise.

    Example:
        >>> import tensorflow as tf
        >>> probabilities = tf.constant([[0.7, 0.6, 0.1]])
        >>> decisions_in_graph(probabilities, "multi_label").numpy().tolist()
        [[True, True, False]]
    """
    import tensorflow as tf

    bounds = tf.constant(threshold, tf.float32)
    if task == "multi_label":
        return probabilities >= bounds
    if probabilities.shape[1] == 2:
        positive = probabilities[:, 1] >= bounds
        decided = tf.stack([~positive, positive], axis=1)
    else:
        classes = tf.range(probabilities.shape[1], dtype=tf.int64)
        decided = classes == tf.argmax(probabilities, axis=1)[:, tf.newaxis]
    if not abstain_below:
        return decided
    sure = tf.reduce_max(tf.where(decided, probabilities, 0.0), axis=1) >= abstain_below
    return decided & sure[:, tf.newaxis]
