"""Random generators of pre-training: each draw depends only on seed, epoch and place, so a resumed run repeats it."""

import numpy as np

ORDER, PAIRS, MASKS = range(3)
"""What is drawn: no two of them share random numbers."""


def generator(purpose: int, *, seed: int, epoch: int, place: int = 0) -> np.random.Generator:
    """Return the generator (Philox, Salmon et al. 2011) of what is at `place` in `epoch`.

    Args:
        purpose: ORDER, PAIRS or MASKS.
        seed: The run's seed, 0 or more.
        epoch: 0-based.
        place: The number of the document or the instance that is drawn for, below 2**40.

    Example:
        >>> generator(MASKS, seed=0, epoch=2, place=17).random() == generator(MASKS, seed=0, epoch=2, place=17).random()
        True
    """
    # The counter's last word tells purposes apart; the generator itself counts up in the first.
    key = np.array([seed, (epoch << 40) + place], np.uint64)
    return np.random.Generator(np.random.Philox(key=key, counter=[0, 0, 0, purpose]))
