"""Intervals of the scores: the paired bootstrap (Efron and Tibshirani 1993) and McNemar's test (1947).

Every resample draws texts of the split again, the same ones for every model, so that a difference between two models is
judged on the texts on which they differ. All resamples of a chunk are computed at once: a resample is a vector of how
often each text was drawn, and a score is a product of those vectors with what the models made of each text.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from components.evaluate import indicators
from components.evaluate.indicators import ModelOutputs

if TYPE_CHECKING:
    import numpy as np


_NUMBERS_AT_A_TIME = 4_000_000
_MOST_CURVES = 10
"""Beyond so many labels the areas under their curves have no interval: it would take minutes."""

Scorer = Callable[["np.ndarray"], "dict[str, np.ndarray]"]


@dataclass(frozen=True)
class Bootstrap:
    """The resampled scores of each model, float64 [resamples] by model and score, and of its slices' accuracies."""

    scores: "dict[str, dict[str, np.ndarray]]"
    slices: "dict[str, np.ndarray]"
    """[resamples, slices] by model; not a number where a resample drew no text of a slice."""


def resample(
    truth: "np.ndarray",
    models: Mapping[str, ModelOutputs],
    *,
    single: bool,
    slices: "np.ndarray | None" = None,
    resamples: int = 10_000,
    seed: int = 0,
) -> Bootstrap:
    """Return every model's scores on `resamples` resamples of the split.

    Args:
        truth: True labels, bool [texts, labels].
        models: What each model says, by name.
        single: Whether a text has one label.
        slices: Which texts a slice holds, bool [texts, slices].
        resamples: How many.
        seed: Seeds the draws.
    """
    import numpy as np

    texts = len(truth)
    slices = np.zeros((texts, 0)) if slices is None else slices.astype(np.float64)
    scorers = {name: _scorer(truth, answers, single) for name, answers in models.items()}
    right = {name: (answers.decided == truth).all(axis=1) for name, answers in models.items()}
    rng = np.random.default_rng(seed)
    scores: dict[str, list[dict[str, np.ndarray]]] = {name: [] for name in models}
    accuracies: dict[str, list[np.ndarray]] = {name: [] for name in models}
    chunk = max(1, _NUMBERS_AT_A_TIME // texts)
    for start in range(0, resamples, chunk):
        drawn = _draw(rng, min(chunk, resamples - start), texts)
        sizes = drawn @ slices
        for name, scorer in scorers.items():
            scores[name].append(scorer(drawn))
            with np.errstate(invalid="ignore"):
                accuracies[name].append(drawn @ (slices * right[name][:, None]) / sizes)
    return Bootstrap(
        {
            name: {score: np.concatenate([part[score] for part in parts]) for score in parts[0]}
            for name, parts in scores.items()
        },
        {name: np.concatenate(parts) for name, parts in accuracies.items()},
    )


def mcnemar(first: "np.ndarray", second: "np.ndarray") -> float:
    """Return the p-value of McNemar's exact test on what two models got right, bool [texts] each."""
    from scipy.stats import binomtest

    only_first, only_second = int((first & ~second).sum()), int((second & ~first).sum())
    if not only_first + only_second:
        return 1.0
    return float(binomtest(only_first, only_first + only_second, 0.5).pvalue)


def _draw(rng: "np.random.Generator", resamples: int, texts: int) -> "np.ndarray":
    """Return how often each text was drawn, float64 [resamples, texts]."""
    import numpy as np

    places = rng.integers(0, texts, (resamples, texts)) + np.arange(resamples)[:, None] * texts
    return np.bincount(places.reshape(-1), minlength=resamples * texts).reshape(resamples, texts).astype(np.float64)


def _scorer(truth: "np.ndarray", answers: ModelOutputs, single: bool) -> Scorer:
    """Return the function from draws, [resamples, texts], to every score, [resamples], of metrics.SCORES."""
    import numpy as np

    labels = truth.shape[1]
    decided = answers.decided
    loss = indicators.losses(truth, answers.probabilities, single)
    right = (decided == truth).all(axis=1)
    counts = np.concatenate([truth & decided, decided, truth, right[:, None], loss[:, None]], axis=1, dtype=np.float64)
    gaps = _gaps(truth, answers, single)
    columns = indicators.curve_columns(truth, single)
    areas = [_area(truth[:, column], answers.probabilities[:, column]) for column in columns]
    texts = len(truth)

    def score(drawn: "np.ndarray") -> "dict[str, np.ndarray]":
        sums = drawn @ counts
        hits, called, true = sums[:, :labels], sums[:, labels : 2 * labels], sums[:, 2 * labels : 3 * labels]
        either = called + true
        f1 = np.divide(2 * hits, either, out=np.zeros_like(hits), where=either > 0)
        found = {
            "accuracy": sums[:, -2] / texts,
            "macro_f1": f1.sum(axis=1) / np.maximum(1, (either > 0).sum(axis=1)),
            "micro_f1": 2 * hits.sum(axis=1) / np.maximum(1, either.sum(axis=1)),
            "weighted_f1": (f1 * true).sum(axis=1) / np.maximum(1, true.sum(axis=1)),
            "log_loss": sums[:, -1] / texts,
            "ece": np.abs(drawn @ gaps).sum(axis=1) / (texts if single else texts * labels),
        }
        if single:
            found["mcc"] = _mcc(hits.sum(axis=1), called, true, texts)
        if areas and len(areas) <= _MOST_CURVES:
            both = np.ma.masked_invalid([area(drawn) for area in areas])  # [labels, 2, resamples]
            found["roc_auc"], found["pr_auc"] = both.mean(axis=0).filled(np.nan)
        return found

    return score


def _gaps(truth: "np.ndarray", answers: ModelOutputs, single: bool) -> "np.ndarray":
    """Return what each text adds to right minus confidence of every bin, float64 [texts, bins]."""
    import numpy as np

    sure, right = indicators.confidence(truth, answers, single)
    place = indicators.bin_of(sure)
    text = np.arange(len(sure)) // (len(sure) // len(truth))
    gaps = np.zeros((len(truth), indicators.BINS))
    np.add.at(gaps, (text, place), right.astype(np.float64) - sure)
    return gaps


def _mcc(hits: "np.ndarray", called: "np.ndarray", true: "np.ndarray", texts: int) -> "np.ndarray":
    """Return Matthews' correlation of several classes (Gorodkin 2004); what was called none is a class of its own."""
    import numpy as np

    none = texts - called.sum(axis=1)
    cross = (called * true).sum(axis=1)
    spread = (texts**2 - (called**2).sum(axis=1) - none**2) * (texts**2 - (true**2).sum(axis=1))
    return np.divide(hits * texts - cross, np.sqrt(spread), out=np.zeros_like(hits), where=spread > 0)


def _area(truth: "np.ndarray", scores: "np.ndarray") -> "Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]":
    """Return the function from draws to the areas under the ROC and precision-recall curves, [resamples] each."""
    import numpy as np

    order = np.argsort(-scores, kind="stable")
    positive = truth[order]
    # Texts of one score stand at one threshold.
    starts = np.flatnonzero(np.diff(scores[order], prepend=np.nan) != 0)

    def area(drawn: "np.ndarray") -> "tuple[np.ndarray, np.ndarray]":
        by_score = drawn[:, order]
        ups = np.add.reduceat(by_score * positive, starts, axis=1)
        downs = np.add.reduceat(by_score * ~positive, starts, axis=1)
        up, down = ups.cumsum(axis=1), downs.cumsum(axis=1)
        total_up, total_down = up[:, -1], down[:, -1]
        with np.errstate(invalid="ignore", divide="ignore"):
            roc = ((up - ups / 2) * downs).sum(axis=1) / (total_up * total_down)
            precision = np.divide(up, up + down, out=np.zeros_like(up), where=up + down > 0)
            return roc, (precision * ups).sum(axis=1) / total_up

    return area
