"""Intervals of the scores that are not shares: the paired Bayesian bootstrap (Rubin 1981).

Every draw gives each text of the split a random weight, the same for every model, so that a difference between two
models is judged on the texts on which they differ. A score is a product of those weights with what the models made of
each text, so all draws of a chunk are computed at once.

Scores of decisions need only how many texts there are of a kind: those of the same true labels of which every model
says the same. A bootstrap knows no other kinds than the split has, and with few mistakes its intervals are too narrow.
So each class has one more kind for each model, which that model alone gets wrong, with the weight of half a text:
Jeffreys' prior, whose intervals for shares hold the truth as often as they say.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from berth.interval import Interval
from berth.interval import interval as percentiles
from components.evaluate import indicators
from components.evaluate.indicators import ModelOutputs
from components.evaluate.intervals import quantile

if TYPE_CHECKING:
    import numpy as np


_NUMBERS_AT_A_TIME = 4_000_000
_MOST_WEIGHTS = 300_000_000
"""Weights that are drawn at most, in fewer draws of more texts: seconds."""
_MOST_OF_AREAS = 50_000_000
"""The same for areas under curves, times their labels: each needs several passes over the texts."""
_FEWEST, _FEWEST_OF_AREAS = 1_000, 200
_MANY = 1_000
"""Draws whose quantiles are an interval; of fewer it is made with their standard deviation."""
_PRIOR = 0.5

Scorer = Callable[["np.ndarray"], "dict[str, np.ndarray]"]
Draws = dict[str, "np.ndarray"]


@dataclass(frozen=True)
class Kinds:
    """The kinds of texts of a split: true labels, and each model's decisions, bool [kinds, labels]; their weights."""

    truth: "np.ndarray"
    decided: "dict[str, np.ndarray]"
    weights: "np.ndarray"
    """float64 [kinds]: how many texts are of a kind; _PRIOR for one that is added."""


def resample(
    truth: "np.ndarray",
    models: Mapping[str, ModelOutputs],
    *,
    single: bool,
    resamples: int = 10_000,
    seed: int = 0,
    positive: int = 1,
) -> dict[str, Draws]:
    """Return what every model's scores are in `resamples` draws, float64 [resamples] by model and score.

    Args:
        truth: True labels, bool [texts, labels].
        models: What each model answers, by name.
        single: Whether a text has one label.
        resamples: How many; of a large split fewer.
        seed: Seeds the draws.
        positive: The place of the positive one of two labels.
    """
    import numpy as np

    texts = len(truth)
    rng = np.random.default_rng(seed)
    kinds = kinds_of(truth, {name: own.decided for name, own in models.items()})
    of_kinds = {name: decision_scorer(kinds.truth, own, texts, single) for name, own in kinds.decided.items()}
    of_texts = {name: probability_scorer(truth, own, single) for name, own in models.items()}
    areas = {name: area_scorer(truth, own, single, positive) for name, own in models.items()}
    labels = len(indicators.curve_columns(truth, single, positive))
    many = min(resamples, max(_FEWEST, _MOST_WEIGHTS // max(texts, len(kinds.weights))))
    few = min(many, max(_FEWEST_OF_AREAS, _MOST_OF_AREAS // (texts * max(1, labels))))
    drawn = [
        _draws(of_kinds, kinds.weights, texts, many, rng),
        _draws(of_texts, np.ones(texts), texts, many, rng),
        _draws(areas, np.ones(texts), texts, few, rng) if labels else {name: {} for name in models},
    ]
    return {name: {score: own for part in drawn for score, own in part[name].items()} for name in models}


def interval(value: float, drawn: "np.ndarray", confidence: float) -> Interval:
    """Return the interval of `drawn`, [resamples], around `value`: percentiles, of few draws a normal one."""
    import numpy as np

    finite = drawn[np.isfinite(drawn)]
    if not len(finite):
        return Interval(value, value, value)
    if len(finite) < _MANY:
        half = quantile(confidence) * float(finite.std())
        return Interval(value, value - half, value + half)
    found = percentiles(value, finite, confidence)
    return Interval(value, min(found.low, value), max(found.high, value))


def kinds_of(truth: "np.ndarray", decided: "Mapping[str, np.ndarray]") -> Kinds:
    """Return the kinds of the texts of `truth` and of what models decide, bool [texts, labels] each, and added ones."""
    import numpy as np

    names, labels = list(decided), truth.shape[1]
    rows = np.concatenate([truth, *decided.values()], axis=1)
    _, first, counts = np.unique(np.packbits(rows, axis=1), axis=0, return_index=True, return_counts=True)
    added = np.concatenate([_added(truth, place, len(names)) for place in range(len(names))])
    parts = np.split(np.concatenate([rows[first], added]), len(names) + 1, axis=1)
    weights = np.concatenate([counts.astype(np.float64), np.full(len(added), _PRIOR)])
    assert parts[0].shape[1] == labels
    return Kinds(parts[0], dict(zip(names, parts[1:], strict=True)), weights)


def _added(truth: "np.ndarray", wrong: int, models: int) -> "np.ndarray":
    """Return the kinds that only model `wrong` of `models` gets wrong, bool [kinds, labels x (1 + models)].

    One for each label that the texts have: in a single-label task the model gives the most frequent other label in its
    place, in a multi-label task none. A multi-label task has one more for each label: the model gives it wrongly.
    """
    import numpy as np

    labels = truth.shape[1]
    found = np.flatnonzero(truth.any(axis=0))
    own = np.eye(labels, dtype=bool)[found]
    none = np.zeros_like(own)
    if (truth.sum(axis=1) == 1).all():
        order = np.argsort(-truth.sum(axis=0), kind="stable")
        others = np.where(found == order[0], order[min(1, labels - 1)], order[0])
        cases = [(own, np.eye(labels, dtype=bool)[others])]
    else:
        cases = [(own, none), (none, own)]
    return np.concatenate(
        [np.concatenate([due, *(said if wrong == place else due for place in range(models))], 1) for due, said in cases]
    )


def _draws(
    scorers: Mapping[str, Scorer], weights: "np.ndarray", texts: int, resamples: int, rng: "np.random.Generator"
) -> dict[str, Draws]:
    """Return the scores of `resamples` draws of weights that add up to `texts`, `weights` being what they are about."""
    import numpy as np

    found: dict[str, list[Draws]] = {name: [] for name in scorers}
    chunk = max(1, _NUMBERS_AT_A_TIME // len(weights))
    for start in range(0, resamples, chunk):
        drawn = draw(rng, min(chunk, resamples - start), weights, texts)
        for name, scorer in scorers.items():
            found[name].append(scorer(drawn))
    return {
        name: {score: np.concatenate([part[score] for part in parts]) for score in parts[0]}
        for name, parts in found.items()
    }


def draw(rng: "np.random.Generator", resamples: int, weights: "np.ndarray", texts: int) -> "np.ndarray":
    """Return random weights of expectation `weights`, float64 [resamples, kinds], a draw's adding up to `texts`."""
    shape = (resamples, len(weights))
    drawn = rng.standard_exponential(shape) if (weights == 1).all() else rng.standard_gamma(weights, shape)
    return drawn * (texts / drawn.sum(axis=1, keepdims=True))


def decision_scorer(truth: "np.ndarray", decided: "np.ndarray", texts: int, single: bool) -> Scorer:
    """Return the function from weights, [resamples, kinds], to the scores of decisions, [resamples] each."""
    import numpy as np

    labels = truth.shape[1]
    right = (decided == truth).all(axis=1)
    counts = np.concatenate([truth & decided, decided, truth, right[:, None]], axis=1, dtype=np.float64)

    def score(drawn: "np.ndarray") -> "dict[str, np.ndarray]":
        sums = drawn @ counts
        hits, called, true = sums[:, :labels], sums[:, labels : 2 * labels], sums[:, 2 * labels : 3 * labels]
        either = called + true
        f1 = np.divide(2 * hits, either, out=np.zeros_like(hits), where=either > 0)
        found = {
            "accuracy": sums[:, -1] / texts,
            "macro_f1": f1.sum(axis=1) / np.maximum(1, (either > 0).sum(axis=1)),
            "micro_f1": 2 * hits.sum(axis=1) / np.maximum(1, either.sum(axis=1)),
            "weighted_f1": (f1 * true).sum(axis=1) / np.maximum(1, true.sum(axis=1)),
        }
        if single:
            found["mcc"] = _mcc(hits.sum(axis=1), called, true, texts)
        return found

    return score


def probability_scorer(truth: "np.ndarray", answers: ModelOutputs, single: bool) -> Scorer:
    """Return the function from weights, [resamples, texts], to log loss and calibration error, [resamples] each."""
    import numpy as np

    texts, labels = truth.shape
    loss = indicators.losses(truth, answers.probabilities, single)
    gaps = _gaps(truth, answers, single)

    def score(drawn: "np.ndarray") -> "dict[str, np.ndarray]":
        return {
            "log_loss": drawn @ loss / texts,
            "ece": np.abs(drawn @ gaps).sum(axis=1) / (texts if single else texts * labels),
        }

    return score


def area_scorer(truth: "np.ndarray", answers: ModelOutputs, single: bool, positive: int = 1) -> Scorer:
    """Return the function from weights, [resamples, texts], to the mean areas under curves, [resamples] each."""
    import numpy as np

    columns = indicators.curve_columns(truth, single, positive)
    areas = [_area(truth[:, column], answers.probabilities[:, column]) for column in columns]

    def score(drawn: "np.ndarray") -> "dict[str, np.ndarray]":
        both = np.ma.masked_invalid([area(drawn) for area in areas])  # [labels, 2, resamples]
        roc, pr = both.mean(axis=0).filled(np.nan)
        return {"roc_auc": roc, "pr_auc": pr}

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
    return np.divide(
        hits * texts - cross, np.sqrt(np.maximum(spread, 0)), out=np.zeros_like(hits), where=spread > 1e-9 * texts**4
    )


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
