"""The threshold that turns probabilities into labels, chosen on the validation split.

A score changes only where the threshold passes a probability. One sort and a running sum therefore give the score at
every possible threshold.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from berth.errors import BerthError
from berth.models.decision_rule import DEFAULT_THRESHOLD
from berth.training.settings import Training

if TYPE_CHECKING:
    import numpy as np


_TIE = 1e-9
"""Scores that differ by less are equal: running sums of floats are not exact."""


@dataclass(frozen=True)
class Threshold:
    """A label applies from the probability `value` on, or from its own in the list `value`.

    `score` is the metric there; None: not chosen by a metric.
    """

    value: float | list[float]
    score: float | None = None


def check_metric(metric: str, task: str) -> None:
    """Raise BerthError if `metric` is not defined for `task`."""
    if metric == "mcc" and task == "multi_label":
        raise BerthError("threshold_metric: mcc is not defined for multi-label. Use macro_f1, accuracy or none.")


def check_decision(training: Training, metric: str, task: str, labels: int) -> None:
    """Raise BerthError if the task has no use for what `training` says of decisions."""
    if training.precision_at_least and (task == "multi_label" or labels != 2):
        found = "this is multi-label" if task == "multi_label" else f"there are {labels}"
        raise BerthError(f"training.precision_at_least: is for two labels, and {found}. Leave it out.")
    if training.precision_at_least and metric != "none":
        raise BerthError("training.precision_at_least: chooses the threshold, as threshold_metric does. Set only one.")
    if training.threshold_per_label and (task != "multi_label" or metric == "none"):
        raise BerthError("training.threshold_per_label: is for multi-label with a threshold_metric. Set both, or none.")
    if training.abstain_below and task == "multi_label":
        raise BerthError("training.abstain_below: multi-label has texts without a label anyway. Leave it out.")


def choose_per_label(probabilities: "np.ndarray", targets: "np.ndarray", metric: str) -> Threshold:
    """Return what `choose` does, label by label: the accuracy or the F1 of that label's own decisions.

    The threshold of a label that all texts have, or none, is 0.5. The score is the mean of the labels that have one.
    """
    import numpy as np

    found: list[float] = []
    scores: list[float] = []
    for column, truth in zip(probabilities.T, targets.T == 1, strict=True):
        if truth.all() or not truth.any():
            found.append(DEFAULT_THRESHOLD)
            continue
        bounds, (tp, fp) = _running(column, truth, ~truth)
        right = (tp + (~truth).sum() - fp) / len(truth)
        value, score = _best(bounds, right if metric == "accuracy" else 2 * tp / (tp + fp + truth.sum()))
        found.append(value)
        scores.append(score)
    return Threshold(found, float(np.mean(scores)) if scores else None)


def choose_by_precision(probabilities: "np.ndarray", truth: "np.ndarray", precision: float, positive: int) -> Threshold:
    """Return the threshold that finds most texts of the class `positive`, 0 or 1, with `precision` or more.

    Where none does, it is the one with the highest precision; without a text of that class 0.5. The score is the
    precision. `probabilities` are float32 [texts, 2], `truth` bool [texts]: whether a text is of that class. As
    everywhere the threshold is one of the second class's probability.
    """
    import numpy as np

    if not truth.any():
        return Threshold(DEFAULT_THRESHOLD, 0.0)
    own = probabilities[:, positive]
    bounds, (tp, fp) = _running(own, truth, ~truth)
    reached = (tp / np.maximum(tp + fp, 1))[1:]
    good = np.flatnonzero(reached >= min(precision, reached.max()) - _TIE)
    place = good[tp[1:][good].argmax()]
    called = own >= bounds[place]
    second = probabilities[:, 1]
    above, below = (called, ~called) if positive else (~called, called)
    low, high = second[below].max(initial=0.0), second[above].min(initial=1.0)
    middle = (low + high) / 2
    return Threshold(float(middle if middle > low else high), float(reached[place]))


def choose(probabilities: "np.ndarray", targets: "np.ndarray", task: str, metric: str) -> Threshold:
    """Return the threshold at which `metric` is highest.

    Among equally good ones it is 0.5 if that is one of them, else the one nearest to 0.5, halfway between the two
    probabilities that it separates: a model's probabilities differ in their last digits from machine to machine.

    Args:
        probabilities: float32 [texts, classes].
        targets: Class indices, int32 [texts]; for a multi-label task multi-hot, int32 [texts, labels].
        task: `single_label` or `multi_label`, whose labels share one threshold.
        metric: `accuracy` (multi-label: all labels of a text are right), `macro_f1` (as
            berth.macro_f1 defines it), `mcc`, or `none`: 0.5.

    The threshold is also 0.5 for more than two classes, which do not use one, and if all texts have the same class.
    """
    check_metric(metric, task)
    classes = probabilities.shape[1]
    if metric == "none" or (task == "single_label" and (classes != 2 or len(set(targets.tolist())) < 2)):
        return Threshold(DEFAULT_THRESHOLD)
    if task == "single_label":
        bounds, scores = _two_classes(probabilities[:, 1], targets == 1, metric)
    elif metric == "accuracy":
        bounds, scores = _exact_match(probabilities, targets == 1)
    else:
        bounds, scores = _mean_f1(probabilities, targets == 1)
    return Threshold(*_best(bounds, scores))


def _two_classes(probabilities: "np.ndarray", truth: "np.ndarray", metric: str) -> "tuple[np.ndarray, np.ndarray]":
    """Return `_running`'s bounds and the score at each, for two classes that both occur."""
    import numpy as np

    bounds, (tp, fp) = _running(probabilities, truth, ~truth)
    positives, negatives = float(truth.sum()), float((~truth).sum())
    fn, tn = positives - tp, negatives - fp
    if metric == "accuracy":
        return bounds, (tp + tn) / len(truth)
    if metric == "macro_f1":
        return bounds, (2 * tp / (2 * tp + fp + fn) + 2 * tn / (2 * tn + fp + fn)) / 2
    spread = np.sqrt((tp + fp) * (fn + tn) * positives * negatives)
    return bounds, (tp * tn - fp * fn) / np.where(spread == 0, 1, spread)


def _exact_match(probabilities: "np.ndarray", truth: "np.ndarray") -> "tuple[np.ndarray, np.ndarray]":
    """Return `_running`'s bounds and the share of texts whose labels are all right at each.

    A text's labels are all right from its least probable true label down to its most probable false one.
    """
    import numpy as np

    begins = np.where(truth, probabilities, np.inf).min(axis=1)
    ends = np.where(truth, -np.inf, probabilities).max(axis=1)
    possible = begins > ends
    # A text without a true label is right above every probability, one without a false label is right below.
    above = possible & np.isposinf(begins)
    begins, ends = begins[possible & ~above], ends[possible & np.isfinite(ends)]
    change = np.concatenate([np.zeros(probabilities.size), np.ones(len(begins)), -np.ones(len(ends))])
    bounds, (right,) = _running(np.concatenate([probabilities.ravel(), begins, ends]), change)
    return bounds, (above.sum() + right) / len(truth)


def _mean_f1(probabilities: "np.ndarray", truth: "np.ndarray") -> "tuple[np.ndarray, np.ndarray]":
    """Return `_running`'s bounds and the mean F1 at each, over the labels that occur or are decided."""
    import numpy as np

    passed, changes, counts = [], [], []
    for column, own in zip(probabilities.T, truth.T, strict=True):
        bounds, (tp, fp) = _running(column, own, ~own)
        passed.append(bounds)
        changes.append(np.diff(2 * tp / np.maximum(tp + fp + own.sum(), 1)))
        counts.append(np.arange(len(bounds)) == (-1 if own.any() else 0))  # counted from its first decision on
    bounds, (total, more) = _running(np.concatenate(passed), np.concatenate(changes), np.concatenate(counts))
    return bounds, total / np.maximum(1, truth.any(axis=0).sum() + more)


def _running(probabilities: "np.ndarray", *changes: "np.ndarray") -> "tuple[np.ndarray, list[np.ndarray]]":
    """Return the running sums of `changes` as a threshold falls from above every probability.

    Returns the distinct probabilities, falling, [bounds], and for each of `changes` its running sum, float64
    [bounds + 1]: entry 0 is above the first bound, entry i includes all probabilities down to bound i-1.
    """
    import numpy as np

    order = np.argsort(-probabilities, kind="stable")
    ordered = probabilities[order]
    last = np.append(np.flatnonzero(np.diff(ordered)), len(ordered) - 1)  # the last of equal ones
    return ordered[last], [np.append(0.0, np.cumsum(change[order], dtype=np.float64)[last]) for change in changes]


def _best(bounds: "np.ndarray", scores: "np.ndarray") -> tuple[float, float]:
    """Return the threshold nearest to 0.5 among the best of `scores`, and its score.

    Entry i of `scores` is that of the thresholds in (bounds[i], bounds[i-1]].
    """
    import numpy as np

    low = np.append(bounds, np.float32(0)).astype(np.float32)
    high = np.append(np.float32(1), bounds).astype(np.float32)
    reachable = low < high
    reachable[-1] = True  # 0 itself, if a probability is 0
    best = scores[reachable].max()
    chosen = reachable & (scores >= best - _TIE)
    if (chosen & (low < DEFAULT_THRESHOLD) & (high >= DEFAULT_THRESHOLD)).any():
        return DEFAULT_THRESHOLD, float(best)
    halfway = (low[chosen] + high[chosen]) / 2
    # Between two neighbouring float32, the type of probabilities, there is no other: use the upper one.
    halfway = np.where(halfway > low[chosen], halfway, high[chosen])
    nearest = halfway[np.abs(halfway - np.float32(DEFAULT_THRESHOLD)).argmin()]
    return float(nearest), float(best)
