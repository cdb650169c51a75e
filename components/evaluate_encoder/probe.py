"""The probe: what an encoder is worth to a classifier that learns from few labels, before and after.

Frozen vectors with a logistic regression, and a short fine-tuning; several draws of the labelled texts, the same ones
for both encoders, and an interval over draws and test texts.
"""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression

from berth.errors import BerthError
from berth.interval import Interval, interval
from berth.pretraining.settings import Probe
from components.evaluate_encoder.probed import ProbedEncoder

_RESAMPLES = 2_000
_STRENGTH = 0.1
"""Inverse strength of regularisation; vectors are scaled to unit variance."""


@dataclass(frozen=True)
class Probed:
    """One row of the probe's table."""

    kind: str
    """`frozen` or `fine-tuned`."""
    size: int
    """Labelled texts."""
    after: Interval
    """Accuracy."""
    before: Interval | None
    change: Interval | None

    @property
    def name(self) -> str:
        return f"{self.kind} with {self.size} labels"


def probe(
    texts: Sequence[str],
    labels: Sequence[str],
    settings: Probe,
    before: ProbedEncoder | None,
    after: ProbedEncoder,
    confidence: float,
) -> list[Probed]:
    """Return what both encoders reach; `before` is None where there is none.

    Raises:
        BerthError: there are too few texts, or only one label.
    """
    classes, targets = np.unique(np.array(labels), return_inverse=True)
    order = np.random.default_rng(0).permutation(len(texts))
    largest = max(settings.sizes)
    tested = min(settings.test, len(texts) - largest)
    if len(classes) < 2 or tested < 10:
        raise BerthError(
            f"probe: {len(texts):,} different texts with {len(classes)} labels; it needs two labels and "
            f"{largest + 10:,} texts. Name a larger source, or smaller sizes."
        )
    test, pool = order[:tested], order[tested:][: settings.to_learn_from]
    encoders = [after] if before is None else [before, after]
    tokenised = [own.tokens(list(texts)) for own in encoders]
    found: list[Probed] = []
    vectors = [own.vectors(tokens) for own, tokens in zip(encoders, tokenised, strict=True)]
    for kind in ("frozen", "fine-tuned") if settings.fine_tune else ("frozen",):
        for size in settings.sizes:
            hits = np.zeros((len(encoders), settings.seeds, tested))
            for seed in range(settings.seeds):
                chosen = _drawn(pool, targets, size, seed)
                for place, own in enumerate(encoders):
                    if kind == "frozen":
                        said = _regression(vectors[place], targets, chosen, test)
                    else:
                        said = own.fine_tuned(tokenised[place], targets, len(classes), chosen, test, seed)
                    hits[place, seed] = said == targets[test]
            found.append(_probed(kind, size, hits, confidence))
    return found


def _drawn(pool: np.ndarray, targets: np.ndarray, size: int, seed: int) -> np.ndarray:
    """Return `size` rows of `pool`, at random, and two labels or more among them where the pool has them."""
    rng = np.random.default_rng(seed + 1)
    chosen = rng.permutation(pool)[:size]
    others = pool[targets[pool] != targets[chosen[0]]]
    if len(others) and (targets[chosen] == targets[chosen[0]]).all():
        chosen[-1] = rng.choice(others)
    return chosen


def _regression(vectors: np.ndarray, targets: np.ndarray, chosen: np.ndarray, test: np.ndarray) -> np.ndarray:
    """Return the predicted targets of the rows `test`."""
    if (targets[chosen] == targets[chosen[0]]).all():
        return np.full(len(test), targets[chosen[0]])
    mean, deviation = vectors[chosen].mean(0), vectors[chosen].std(0) + 1e-6
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        fitted = LogisticRegression(C=_STRENGTH, max_iter=500).fit(
            (vectors[chosen] - mean) / deviation, targets[chosen]
        )
    return np.asarray(fitted.predict((vectors[test] - mean) / deviation))


def _probed(kind: str, size: int, hits: np.ndarray, confidence: float) -> Probed:
    """Return the accuracies, their difference and the intervals; `hits` is [encoders, seeds, texts]."""
    rng = np.random.default_rng(0)
    encoders, seeds, texts = hits.shape
    drawn = np.zeros((encoders, _RESAMPLES))
    for resample in range(_RESAMPLES):
        own = hits[:, rng.integers(seeds, size=seeds)].mean(1)
        drawn[:, resample] = own[:, rng.integers(texts, size=texts)].mean(1)
    means = hits.mean((1, 2))
    intervals = [interval(float(mean), own, confidence) for mean, own in zip(means, drawn, strict=True)]
    if encoders == 1:
        return Probed(kind, size, intervals[0], None, None)
    change = interval(float(means[1] - means[0]), drawn[1] - drawn[0], confidence)
    return Probed(kind, size, intervals[1], intervals[0], change)
