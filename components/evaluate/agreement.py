"""Agreement of two computations of the same probabilities, in logits, within what float32 allows."""

import numpy as np

BOUND = 1e-3
"""How much a logit may differ between two float32 computations of the same model.

A sum of K float32 products has a relative error of about sqrt(K) * 2^-24 (Higham and Mary 2019), which for the widest
layers, K = 4096, is 4e-6. Layer norms keep vectors at unit scale, so that the errors of a BERT's 6 products in each of
up to 24 layers add up like a random walk: sqrt(144) * 4e-6 = 5e-5 of the scale of the logits, which is at most about
20. TF32, whose products have 2^-11 in place of 2^-24, differs by more and is off in Berth's processes.
"""
_ROUNDING = 2.0**-23
"""Of a float32 probability near 1: its two neighbours are this far apart."""


def largest_difference(found: np.ndarray, expected: np.ndarray) -> float:
    """Return by how much the logits behind two arrays of probabilities differ at most, beyond their own rounding.

    A logit is log(p / (1 - p)): of a sigmoid the model's own, of a softmax that of the class against all others. Near 1
    a float32 probability fixes its logit only roughly; that much does not count.

    Args:
        found: float32 [texts, labels].
        expected: Of the same shape.

    Returns:
        Infinity where one has a value that is not a probability.
    """
    if not (np.isfinite(found).all() and np.isfinite(expected).all()):
        return float("inf")
    both = [np.clip(own.astype(np.float64), _ROUNDING / 2, 1 - _ROUNDING / 2) for own in (found, expected)]
    logits = [np.log(own) - np.log1p(-own) for own in both]
    steepest = np.minimum(*(own * (1 - own) for own in both))
    difference = np.abs(logits[0] - logits[1]) - _ROUNDING / steepest
    return max(0.0, float(difference.max(initial=0.0)))
