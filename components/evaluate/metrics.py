"""What a classifier scores on a split; scikit-learn computes it.

Truth and decisions are bool [texts, labels], a column a label: of one label a text has one true column, of several
labels any number. A decision for a label that the vocabulary lacks is a row without any.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from components.common.errors import BerthError

if TYPE_CHECKING:
    import numpy as np

SCORES = ("accuracy", "macro_f1", "micro_f1", "weighted_f1", "mcc", "roc_auc", "pr_auc", "log_loss", "ece")
"""Every score of a whole split, in the order in which reports show them."""
LESS_IS_BETTER = ("log_loss", "ece")
BINS = 15
"""Of equal width, for the calibration error, as in Guo et al. 2017."""
_CURVE_POINTS = 200
_SMALLEST = 1e-7
"""What a probability of 0 counts as in log loss: a float32 cannot tell it from 0."""


@dataclass(frozen=True)
class Answers:
    """What a model says of a split: probabilities, float [texts, labels], and decisions, bool [texts, labels]."""

    probabilities: "np.ndarray"
    decided: "np.ndarray"


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
class Evaluation:
    """Scores on one split of `texts` texts; `confusion[i][j]` counts texts of labels[i] that were called labels[j].

    Of two classes ROC-AUC, PR-AUC and the curves are those of the second, the positive one; beyond, the areas are the
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


def indicator(labels: Sequence[str], truth: Sequence[Any]) -> "np.ndarray":
    """Return the true labels, a text or a list of texts each, as bool [texts, labels].

    Raises:
        BerthError: a true label is not one that the model knows.
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


def evaluate(labels: Sequence[str], truth: "np.ndarray", answers: Answers, task: str = "single_label") -> Evaluation:
    """Score `answers` against `truth`, bool [texts, labels].

    Raises:
        BerthError: a probability is no number.
    """
    import numpy as np
    from sklearn import metrics

    probabilities, decided = answers.probabilities, answers.decided
    if not np.isfinite(probabilities).all():
        raise BerthError("the model gives probabilities that are no numbers. Train it anew with a lower learning_rate.")
    single = task == "single_label"
    precision, recall, f1, support = metrics.precision_recall_fscore_support(truth, decided, zero_division=0.0)
    used = truth.any(axis=0) | decided.any(axis=0)
    average = {"labels": np.flatnonzero(used), "zero_division": 0.0}
    scores: dict[str, float | None] = {
        "accuracy": metrics.accuracy_score(truth, decided),
        "macro_f1": metrics.f1_score(truth, decided, average="macro", **average),
        "micro_f1": metrics.f1_score(truth, decided, average="micro", **average),
        "weighted_f1": metrics.f1_score(truth, decided, average="weighted", **average),
        "mcc": metrics.matthews_corrcoef(classes(truth), classes(decided)) if single else None,
        "roc_auc": _mean(metrics.roc_auc_score, truth, probabilities, single),
        "pr_auc": _mean(metrics.average_precision_score, truth, probabilities, single),
        "log_loss": losses(truth, probabilities, single).mean(),
        "ece": _ece(bins := reliability(truth, answers, single)),
    }
    columns = curve_columns(truth, single)
    return Evaluation(
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


def classes(matrix: "np.ndarray") -> "np.ndarray":
    """Return the class index of each row of a single-label indicator; -1 of a row without any."""
    import numpy as np

    return np.where(matrix.any(axis=1), matrix.argmax(axis=1), -1)


def losses(truth: "np.ndarray", probabilities: "np.ndarray", single: bool) -> "np.ndarray":
    """Return each text's cross-entropy in nats, float64 [texts]; of several labels the mean over them."""
    import numpy as np

    likely = np.clip(np.asarray(probabilities, np.float64), _SMALLEST, 1.0)
    if single:
        return -np.log(np.where(truth, likely, 1.0).min(axis=1))
    unlikely = np.clip(1.0 - np.asarray(probabilities, np.float64), _SMALLEST, 1.0)
    return -np.log(np.where(truth, likely, unlikely)).mean(axis=1)


def confidence(truth: "np.ndarray", answers: Answers, single: bool) -> "tuple[np.ndarray, np.ndarray]":
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


def reliability(truth: "np.ndarray", answers: Answers, single: bool) -> list[Bin]:
    """Return the bins that hold anything, by rising confidence."""
    sure, right = confidence(truth, answers, single)
    place = bin_of(sure)
    return [
        Bin(float(sure[place == number].mean()), float(right[place == number].mean()), int((place == number).sum()))
        for number in range(BINS)
        if (place == number).any()
    ]


def curve_columns(truth: "np.ndarray", single: bool) -> list[int]:
    """Return the labels that have a curve: of two classes the second; those that some texts have and some have not."""
    columns = [1] if single and truth.shape[1] == 2 else range(truth.shape[1])
    return [column for column in columns if 0 < truth[:, column].sum() < len(truth)]


def _mean(score: Any, truth: "np.ndarray", probabilities: "np.ndarray", single: bool) -> float | None:
    import numpy as np

    found = [score(truth[:, column], probabilities[:, column]) for column in curve_columns(truth, single)]
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
