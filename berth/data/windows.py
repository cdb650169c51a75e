"""Windows of long texts: how many there are, and where they begin; of NumPy's arrays and of tensors alike."""

from typing import Any


def step(room: int) -> int:
    """Return how far apart windows of `room` tokens begin: neighbours share a quarter of their tokens."""
    return max(1, room - room // 4)


def count(lengths: Any, room: int) -> Any:
    """Return how many windows of `room` tokens texts of `lengths` tokens have: one, if they fit into it.

    Example:
        >>> count(np.array([0, 126, 127, 1000]), 126)
        array([ 1,  1,  2, 11])
    """
    over = lengths - room
    over = (over + abs(over)) // 2
    return 1 - (-over // step(room))
