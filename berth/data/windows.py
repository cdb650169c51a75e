"""Windows of long texts: how many there are, and where they begin; for NumPy's arrays and for tensors alike."""

from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    import numpy as np
    import tensorflow as tf

Lengths = TypeVar("Lengths", "np.ndarray", "tf.Tensor")
"""Lengths of texts in tokens, integers [texts]."""


def step(room: int) -> int:
    """Return how far apart windows of `room` tokens begin: neighbours share a quarter of their tokens.

    Example:
        >>> step(128), step(1)
        (96, 1)
    """
    return max(1, room - room // 4)


def count(lengths: Lengths, room: int) -> Lengths:
    """Return how many windows of `room` tokens texts of `lengths` tokens have: one, if they fit into it.

    Example:
        >>> import numpy as np
        >>> count(np.array([0, 126, 127, 1000]), 126)
        array([ 1,  1,  2, 11])
    """
    over = lengths - room
    over = (over + abs(over)) // 2
    return 1 - (-over // step(room))
