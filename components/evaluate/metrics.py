"""What a classifier scores on a split; scikit-learn computes it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from components.common.errors import BerthError

if TYPE_CHECKING:
    import numpy as np

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
class RocCurve:
    """True against false positive rate of a label, from (0, 0) to (1, 1), at falling thresholds in [0, 1]."""

    label: str
    false_positive_rate: list[float]
    true_positive_rate: list[float]
    thresholds: list[float]


@dataclass(frozen=True)
class Evaluation:
    """Scores on one split of `texts` texts; `confusion[i][j]` counts texts of labels[i] that were called labels[j].

    Of two classes ROC-AUC and the curve are those of the second, the positive one; beyond, ROC-AUC is the unweighted
    mean of each class against the rest. Both leave out classes that the split has no text of, or nothing but.
    """

    labels: list[str]
    texts: int
    accuracy: float
    macro_f1: float
    log_loss: float
    roc_auc: float | None
    classes: list[ClassScores]
    confusion: list[list[int]]
    curves: list[RocCurve]

    def numbers(self) -> dict[str, float]:
        """Return the scores of the whole split by name; what the split does not define is left out."""
        scores = {"accuracy": self.accuracy, "macro_f1": self.macro_f1, "log_loss": self.log_loss}
        return scores if self.roc_auc is None else scores | {"roc_auc": self.roc_auc}


def evaluate(labels: Sequence[str], truth: Sequence[str], probabilities: "np.ndarray") -> Evaluation:
    """Score `probabilities`, float [texts, classes] in the order of `labels`, against the true labels.

    Raises:
        BerthError: a probability is no number, or a true label is not one that the model knows.
    """
    import numpy as np
    from sklearn import metrics

    if not np.isfinite(probabilities).all():
        raise BerthError("the model gives probabilities that are no numbers. Train it anew with a lower learning_rate.")
    index = {label: number for number, label in enumerate(labels)}
    if unknown := set(truth) - index.keys():
        raise BerthError(f"the test split has labels that the model does not know: {', '.join(sorted(unknown))}.")
    true = np.array([index[label] for label in truth])
    predicted = probabilities.argmax(axis=1)
    numbers = list(range(len(labels)))
    precision, recall, f1, support = metrics.precision_recall_fscore_support(
        true, predicted, labels=numbers, zero_division=0.0
    )
    scored = [1] if len(labels) == 2 else numbers
    curves = [
        _curve(labels[number], true == number, probabilities[:, number])
        for number in scored
        if 0 < (true == number).sum() < len(true)
    ]
    areas = [metrics.auc(curve.false_positive_rate, curve.true_positive_rate) for curve, _ in curves]
    present = support > 0
    return Evaluation(
        labels=list(labels),
        texts=len(true),
        accuracy=float((predicted == true).mean()),
        macro_f1=float(f1[present | (np.bincount(predicted, minlength=len(labels)) > 0)].mean()),
        log_loss=float(metrics.log_loss(true, probabilities.astype(np.float64), labels=numbers)),
        roc_auc=float(np.mean(areas)) if areas else None,
        classes=[
            ClassScores(label, float(precision[i]), float(recall[i]), float(f1[i]), int(support[i]))
            for i, label in enumerate(labels)
        ],
        confusion=metrics.confusion_matrix(true, predicted, labels=numbers).tolist(),
        curves=[thinned for _, thinned in curves],
    )


def _curve(label: str, is_label: "np.ndarray", scores: "np.ndarray") -> tuple[RocCurve, RocCurve]:
    """Return the ROC curve whole, and thinned out to what can be drawn."""
    import numpy as np
    from sklearn.metrics import roc_curve

    false_positive, true_positive, thresholds = roc_curve(is_label, scores)
    thresholds = np.clip(thresholds, 0.0, 1.0)  # scikit-learn starts the curve at infinity

    def curve(points: "np.ndarray") -> RocCurve:
        return RocCurve(label, *(values[points].tolist() for values in (false_positive, true_positive, thresholds)))

    everything = np.arange(len(thresholds))
    thinned = np.unique(np.linspace(0, len(thresholds) - 1, min(_CURVE_POINTS, len(thresholds))).round().astype(int))
    return curve(everything), curve(thinned)
