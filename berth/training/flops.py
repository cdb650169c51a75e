"""Floating-point operations of training."""

from collections.abc import Sequence

import numpy as np
import tensorflow as tf


def flops_per_token(variables: Sequence[tf.Variable], trained: Sequence[tf.Variable]) -> float:
    """Return about how many floating-point operations training takes for a token.

    Two for each weight of a matrix product forward, two more for each gradient of a weight, two for each gradient of an
    input (Kaplan et al. 2020, which leaves attention's own products out too); embeddings are looked up, not multiplied.

    Args:
        variables: All of the model's variables.
        trained: Those that are not frozen.

    Example:
        >>> kernel = tf.Variable(tf.zeros([4, 8]), name="kernel")
        >>> flops_per_token([kernel], [kernel])
        192.0
    """

    def weights(own: Sequence[tf.Variable]) -> int:
        kernels = [variable for variable in own if len(variable.shape) > 1 and "embedding" not in variable.name]
        return sum(int(np.prod(kernel.shape)) for kernel in kernels)

    return 2.0 * weights(variables) + 4.0 * weights(trained)
