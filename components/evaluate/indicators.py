"""Labels as indicator matrices, and numbers for each text."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from berth.errors import BerthError

if TYPE_CHECKING:
    import numpy as np


BINS = 15
"""Of equal width, for the calibration error, as in Guo et al. 2017."""
_SMALLEST = 1e-7
"""What a probability of 0 counts as in log loss: a float32 cannot tell it from 0."""


@dataclass(frozen=True)
class ModelOutputs:
    """What a model answers for a split: probabilities, float [texts, labels], and decisions, bool [texts, labels]."""

    probabilities: "np.ndarray"
    decided: "np.ndarray"

    def rows(self, chosen: "np.ndarray") -> "ModelOutputs":
        """Return what it says of the texts that are `chosen`, bool [texts]."""
        return ModelOutputs(self.probabilities[chosen], self.decided[chosen])


def indicator(labels: Sequence[str], truth: Sequence[str | list[str]]) -> "np.ndarray":
    """Return the true labels, a text or a list of texts each, as bool [texts, labels].

    Raises:
        BerthError: a true label is not one that the model knows.

    Example:
        >>> indicator(["ham", "spam"], ["spam", "ham"]).tolist()
        [[False, True], [True, False]]
    """
    import numpy as np

    place = {label: number for number, label in enumerate(labels)}
    rows = [[own] if isinstance(own, str) else list(own) for own in truth]
    if unknown := {label for row in rows for label in row} - place.keys():
        raise BerthError(f"the test split has labels that the model does not know: {', '.join(sorted(unknown))}.")
    matrix = np.zeros((len(rows), len(labels)), bool)
    for number, row in enumerate(rows):
        matrix[number, [place[label] for label in row]] = True
    return matrix


def classes(matrix: "np.ndarray") -> "np.ndarray":
    """Return the class index of each row of a single-label indicator; -1 of a row without any."""
    import numpy as np

    return np.where(matrix.any(axis=1), matrix.argmax(axis=1), -1)


def losses(truth: "np.ndarray", probabilities: "np.ndarray", single: bool) -> "np.ndarray":
    """Return each text's cross-entropy in nats, float64 [texts]; for a multi-label task the mean over the labels."""
    import numpy as np

    likely = np.clip(np.asarray(probabilities, np.float64), _SMALLEST, 1.0)
    if single:
        return -np.log(np.where(truth, likely, 1.0).min(axis=1))
    unlikely = np.clip(1.0 - np.asarray(probabilities, np.float64), _SMALLEST, 1.0)
    return -np.log(np.where(truth, likely, unlikely)).mean(axis=1)


def confidence(truth: "np.ndarray", answers: ModelOutputs, single: bool) -> "tuple[np.ndarray, np.ndarray]":
    """Return what calibration is about, each [decisions]: how sure the model is, and whether that is so.

    Of one label a text: the probability of the most probable class. Of several: every label's probability.
    """
    import numpy as np

    probabilities = np.asarray(answers.probabilities, np.float64)
    if not single:
        return probabilities.reshape(-1), truth.reshape(-1)
    top = probabilities.argmax(axis=1)
    rows = np.arange(len(top))
    return probabilities[rows, top], truth[rows, top]


def bin_of(confidence: "np.ndarray") -> "np.ndarray":
    """Return the bin of each confidence, int [decisions]."""
    import numpy as np

    return np.clip((confidence * BINS).astype(int), 0, BINS - 1)


def curve_columns(truth: "np.ndarray", single: bool, positive: int = 1) -> list[int]:
    """Return the labels that have a curve: the positive one of two; those that some texts have, and some not."""
    columns = [positive] if single and truth.shape[1] == 2 else range(truth.shape[1])
    return [column for column in columns if 0 < truth[:, column].sum() < len(truth)]
