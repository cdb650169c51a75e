"""Scores of a classifier on a split; scikit-learn computes it.

Truth and decisions are bool [texts, labels], a column a label: of one label a text has one true column, of several
labels any number. A decision for a label that the vocabulary lacks is a row without any.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from berth.errors import BerthError
from berth.macro_f1 import macro_f1
from components.evaluate.indicators import BINS, ModelOutputs, bin_of, classes, confidence, curve_columns, losses

if TYPE_CHECKING:
    import numpy as np


SCORES = ("accuracy", "macro_f1", "micro_f1", "weighted_f1", "mcc", "roc_auc", "pr_auc", "log_loss", "ece")
"""Every score of a whole split, in the order in which reports show them."""
LESS_IS_BETTER = ("log_loss", "ece")
_CURVE_POINTS = 200


@dataclass(frozen=True)
class ClassScores:
    """How one class fares: precision, recall and F1 in [0, 1], and how many texts have it."""

    label: str
    precision: float
    recall: float
    f1: float
    support: int


@dataclass(frozen=True)
class Curve:
    """A line from left to right; thresholds, where it has any, are those of its points."""

    label: str
    x: list[float]
    y: list[float]
    thresholds: list[float]


@dataclass(frozen=True)
class Bin:
    """The decisions of a bin of confidence: their mean confidence, the share that is right, and how many they are."""

    confidence: float
    accuracy: float
    count: int


@dataclass(frozen=True)
class SplitScores:
    """Scores on one split of `texts` texts; `confusion[i][j]` counts texts of labels[i] that were called labels[j].

    Of two classes ROC-AUC, PR-AUC and the curves are those of the positive one; beyond, the areas are the
    unweighted mean of each class against the rest. Both leave out classes that the split has no text of, or nothing
    but. `scores` lacks what the split does not define: mcc and the confusion matrix are of one label a text.
    """

    labels: list[str]
    texts: int
    scores: dict[str, float]
    classes: list[ClassScores]
    confusion: list[list[int]]
    roc: list[Curve]
    pr: list[Curve]
    reliability: list[Bin]


def evaluate(
    labels: Sequence[str], truth: "np.ndarray", answers: ModelOutputs, task: str = "single_label", positive: int = 1
) -> SplitScores:
    """Score `answers` against `truth`, bool [texts, labels]; `positive` is the place of the positive one of two labels.

    Raises:
        BerthError: a probability is not a number.

    Example:
        >>> import numpy as np
        >>> truth = np.array([[True, False], [False, True]])
        >>> evaluate(["ham", "spam"], truth, ModelOutputs(np.array([[0.9, 0.1], [0.2, 0.8]]), truth)).scores["accuracy"]
        1.0
    """
    import numpy as np
    from sklearn import metrics

    probabilities, decided = answers.probabilities, answers.decided
    if not np.isfinite(probabilities).all():
        raise BerthError(
            "the model gives probabilities that are not numbers. Train it again with a lower learning_rate."
        )
    single = task == "single_label"
    columns = curve_columns(truth, single, positive)
    precision, recall, f1, support = metrics.precision_recall_fscore_support(truth, decided, zero_division=0.0)
    used = truth.any(axis=0) | decided.any(axis=0)
    average = {"labels": np.flatnonzero(used), "zero_division": 0.0}
    scores: dict[str, float | None] = {
        "accuracy": metrics.accuracy_score(truth, decided),
        "macro_f1": macro_f1(truth, decided),
        "micro_f1": metrics.f1_score(truth, decided, average="micro", **average),
        "weighted_f1": metrics.f1_score(truth, decided, average="weighted", **average),
        "mcc": metrics.matthews_corrcoef(classes(truth), classes(decided)) if single else None,
        "roc_auc": _mean(metrics.roc_auc_score, truth, probabilities, columns),
        "pr_auc": _mean(metrics.average_precision_score, truth, probabilities, columns),
        "log_loss": losses(truth, probabilities, single).mean(),
        "ece": _ece(bins := reliability(truth, answers, single)),
    }
    return SplitScores(
        labels=list(labels),
        texts=len(truth),
        scores={name: float(value) for name in SCORES if (value := scores[name]) is not None},
        classes=[
            ClassScores(label, float(precision[i]), float(recall[i]), float(f1[i]), int(support[i]))
            for i, label in enumerate(labels)
        ],
        confusion=_confusion(truth, decided) if single else [],
        roc=[_roc(labels[column], truth[:, column], probabilities[:, column]) for column in columns],
        pr=[_pr(labels[column], truth[:, column], probabilities[:, column]) for column in columns],
        reliability=bins,
    )


def reliability(truth: "np.ndarray", answers: ModelOutputs, single: bool) -> list[Bin]:
    """Return the bins that hold anything, by rising confidence."""
    sure, right = confidence(truth, answers, single)
    place = bin_of(sure)
    return [
        Bin(float(sure[place == number].mean()), float(right[place == number].mean()), int((place == number).sum()))
        for number in range(BINS)
        if (place == number).any()
    ]


def _mean(
    score: "Callable[[np.ndarray, np.ndarray], float]",
    truth: "np.ndarray",
    probabilities: "np.ndarray",
    columns: list[int],
) -> float | None:
    """Return the mean of `score` over `columns`; None: there is none."""
    import numpy as np

    found = [score(truth[:, column], probabilities[:, column]) for column in columns]
    return float(np.mean(found)) if found else None


def _ece(bins: list[Bin]) -> float:
    total = sum(one.count for one in bins)
    return sum(abs(one.accuracy - one.confidence) * one.count for one in bins) / max(1, total)


def _confusion(truth: "np.ndarray", decided: "np.ndarray") -> list[list[int]]:
    from sklearn.metrics import confusion_matrix

    return confusion_matrix(classes(truth), classes(decided), labels=list(range(truth.shape[1]))).tolist()


def _roc(label: str, truth: "np.ndarray", probabilities: "np.ndarray") -> Curve:
    import numpy as np
    from sklearn.metrics import roc_curve

    false_positive, true_positive, thresholds = roc_curve(truth, probabilities)
    return _thinned(label, false_positive, true_positive, np.clip(thresholds, 0.0, 1.0))  # they start at infinity


def _pr(label: str, truth: "np.ndarray", probabilities: "np.ndarray") -> Curve:
    import numpy as np
    from sklearn.metrics import precision_recall_curve

    precision, recall, thresholds = precision_recall_curve(truth, probabilities)
    return _thinned(label, recall[::-1], precision[::-1], np.append(thresholds, 1.0)[::-1])


def _thinned(label: str, x: "np.ndarray", y: "np.ndarray", thresholds: "np.ndarray") -> Curve:
    """Return a curve of no more points than can be drawn."""
    import numpy as np

    points = np.unique(np.linspace(0, len(x) - 1, min(_CURVE_POINTS, len(x))).round().astype(int))
    return Curve(label, *(values[points].tolist() for values in (x, y, thresholds)))
