"""Macro F1, defined once for training, for the choice of a threshold and for the verdict."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np


def macro_f1(truth: "np.ndarray", decided: "np.ndarray") -> float:
    """Return the unweighted mean F1 of the labels that the truth or the decisions have, bool [texts, labels] each.

    A label that no text has and no decision names is left out: the split does not measure it. Without any label that
    counts, the score is 0.

    Example:
        >>> import numpy as np
        >>> macro_f1(np.array([[True, False], [True, False]]), np.array([[True, False], [False, False]]))
        0.6666666666666666
    """
    import numpy as np

    hits = (truth & decided).sum(axis=0)
    either = truth.sum(axis=0) + decided.sum(axis=0)
    used = either > 0
    return float(np.mean(2 * hits[used] / either[used])) if used.any() else 0.0
