"""Collapse: training ends in a model that predicts the same for every text.

A learning rate that is too high does this to BERT (Mosbach et al. 2021 describe such runs): the layers saturate, and
the best that is left to the head is the classes' shares. So do too few updates, whose cure is the opposite, and a class
that is so rare that its texts hardly count.
"""

from collections.abc import Sequence

import numpy as np

from berth.errors import BerthError
from berth.models.decision_rule import decisions
from components.train.defaults import FEW_STEPS

_TEXTS = 256
_USUAL = 3e-4
"""No usual learning rate for BERT is higher."""
_SHRUNK = 0.1
"""An untrained head on a pre-trained encoder tells texts apart, a little; less than this share of it is a collapse."""
_GONE = 0.01
"""Less than this share of it does not come back."""
_RARE = 0.05
_CERTAIN = 2.0**-23
"""Probabilities nearer to 0 or 1 are alike: float32 has none between 1 and this much less."""


def texts_of_every_class(targets: np.ndarray) -> np.ndarray:
    """Return the row numbers of up to 256 texts, of each class as many if it has them, int64 [rows], sorted.

    Args:
        targets: Class indices, int32 [texts]; for a multi-label task multi-hot, int32 [texts, labels], where a class
            is the texts with a label, or those without one.
    """
    members = list(targets.T > 0) if targets.ndim > 1 else [targets == one for one in np.unique(targets)]
    if targets.ndim > 1:
        members += [~own for own in members]
    share = max(1, _TEXTS // len(members))
    chosen = np.concatenate([np.flatnonzero(own)[:share] for own in members])
    rest = np.setdiff1d(np.arange(len(targets)), chosen)[: max(0, _TEXTS - len(np.unique(chosen)))]
    return np.union1d(chosen, rest)


def spread(probabilities: np.ndarray, shares: np.ndarray | None = None) -> float:
    """Return how much the probability of a class differs between texts, mean over classes: a standard deviation.

    It is that of the logits, about the probability's by p (1 - p). With `shares`, float [classes], p is the class's
    share of the texts: the differences that a model makes for a rare class are small, and count as much as others;
    those of a saturated model, whose p is far below every share, count as nothing.
    """
    inside = np.clip(probabilities.astype(np.float64), _CERTAIN, 1 - _CERTAIN)
    if shares is None:
        return float((np.log(inside) - np.log1p(-inside)).std(0).mean())
    within = np.clip(shares, 1e-6, 1 - 1e-6)
    return float((inside.std(0) / (within * (1 - within))).mean())


def shares_of(targets: np.ndarray, classes: int) -> np.ndarray:
    """Return the share of the texts that each class has, float64 [classes]; `targets` as TokenisedSplit has them."""
    return (np.bincount(targets, minlength=classes) if targets.ndim == 1 else targets.sum(0)) / len(targets)


def is_collapsed(
    probabilities: np.ndarray, targets: np.ndarray, shares: np.ndarray, untrained: float, most: float = _SHRUNK
) -> bool:
    """Return whether the same is predicted for every text, with a spread of less than `most` of `untrained`.

    For texts that are all of one class the same prediction is right: they do not tell a collapsed model from a sure
    one.

    Args:
        probabilities: Of the texts that are looked at, float32 [texts, classes].
        targets: Of these texts.
        shares: Of the classes in the train split.
        untrained: The `spread` of the model before training.
        most: The share of it that a model of some use has.
    """
    if (targets == targets[0]).all():
        return False
    decided = decisions(probabilities, "single_label" if targets.ndim == 1 else "multi_label")
    return bool((decided == decided[0]).all()) and spread(probabilities, shares) <= most * untrained


def is_gone(probabilities: np.ndarray, targets: np.ndarray, shares: np.ndarray, untrained: float) -> bool:
    """Return whether the model has collapsed so far that more training does not bring it back."""
    return is_collapsed(probabilities, targets, shares, untrained, _GONE)


def collapse_error(
    probabilities: np.ndarray, targets: np.ndarray, labels: Sequence[str], rate: float, steps: int
) -> BerthError:
    """Return the error that says that the model has collapsed, and what to change.

    Args:
        probabilities: Of the texts that were looked at, float32 [texts, classes].
        targets: Of the whole train split, as TokenisedSplit has them.
        labels: The label vocabulary.
        rate: The peak learning rate.
        steps: Updates of the whole run.
    """
    single = targets.ndim == 1
    decided = decisions(probabilities, "single_label" if single else "multi_label")
    shares = shares_of(targets, len(labels))
    rarest = int(shares.argmin())
    cure = f"Lower learning_rate ({rate:g}); 2e-5 to 5e-5 suits BERT, 1e-4 a small one, with recipe: berth."
    if steps < FEW_STEPS and rate <= _USUAL:
        cure = f"Raise epochs: {steps} updates are few, and the model has hardly begun to learn."
    elif rate <= _USUAL and shares[rarest] < _RARE:
        cure = (
            f"Raise epochs, or set training.class_weights: balanced: only {shares[rarest]:.1%} of the "
            f"train texts are of {labels[rarest]!r}."
        )
    predicted = repr(labels[decided[0].argmax()]) if single else "the same labels"
    return BerthError(
        f"the model has collapsed: it predicts {predicted} for every validation text, and its probabilities hardly "
        f"differ. {cure}"
    )
