"""Macro F1, defined once for training, for the choice of a threshold and for the verdict."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np


def macro_f1(truth: "np.ndarray", decided: "np.ndarray") -> float:
    """Return the unweighted mean F1 of the labels that the truth or the decisions have, bool [texts, labels] each.

    A label that nobody has and nobody decides is left out: the split says nothing about it.
    """
    import numpy as np

    hits = (truth & decided).sum(axis=0)
    either = truth.sum(axis=0) + decided.sum(axis=0)
    used = either > 0
    return float(np.mean(2 * hits[used] / either[used])) if used.any() else 0.0
