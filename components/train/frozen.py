"""The recipe `frozen`: a logistic regression on the vectors of the encoder as it is, put into the classifier's head."""

import time
import warnings

import numpy as np
import tensorflow as tf

from berth.data.token_ids import TokenisedSplit, segments
from berth.training.trainer import Outcome
from components.train.defaults import FEW_VALIDATION
from components.train.evaluation import by_batches
from components.train.task import ClassificationTask

_STRENGTHS = (1e-4, 1e-3, 1e-2, 0.1, 1.0, 10.0)
"""Inverse strengths of regularisation, of which validation chooses; vectors are scaled to unit variance."""
_MIDDLE = 0.1
_LEAST = 1e-3
"""Of the vectors' size: a component that differs less between texts is not scaled up, which rounding would be too."""
_STEPS = 2_000
_SMALLEST = 1e-7
"""What a probability of 0 counts as: a float32 near 1 cannot tell less from it."""


def fit_head(task: ClassificationTask) -> Outcome:
    """Fit the head of the task's classifier, whose encoder stays as it is; see `best_head`."""
    start = time.perf_counter()
    task.classifier.head.set_weights(best_head(task))
    metrics = task.evaluate_own()
    seconds = time.perf_counter() - start
    tokens = int(task.widths.sum())
    return Outcome(1, metrics, len(task.train) / seconds, tokens / seconds, 0.0, epochs=1)


def best_head(task: ClassificationTask) -> list[np.ndarray]:
    """Return the weights of the head that suits the encoder of the task's classifier as it is.

    The strength of regularisation with the lowest validation loss, as `loss_with_random_labels` has it, is kept; it is
    not chosen on a tiny validation split.
    """
    vectors, held_out = encode(task, task.train), encode(task, task.validation)
    mean, deviation = vectors.mean(0), vectors.std(0)
    deviation = np.maximum(deviation, _LEAST * max(np.sqrt((vectors**2).mean()), 1e-6))
    scaled = (vectors - mean) / deviation
    best: tuple[float, list[np.ndarray]] | None = None
    for strength in _STRENGTHS if len(task.validation) >= FEW_VALIDATION else (_MIDDLE,):
        kernel, bias = _regression(scaled, task.train.targets, strength)
        kernel = kernel / deviation[:, None]
        bias = bias - mean @ kernel
        probabilities = task.classifier.probabilities(tf.constant(held_out @ kernel + bias)).numpy()
        loss, share = loss_with_random_labels(probabilities, task.validation.targets)
        doubt = f" with {share:.1%} of its labels drawn at random" if share else ""
        print(f"head, C {strength:g}: validation loss {loss:.4f}{doubt}", flush=True)
        if best is None or loss < best[0]:
            best = loss, [kernel, bias]
    assert best is not None
    return best[1]


def loss_with_random_labels(probabilities: np.ndarray, targets: np.ndarray) -> tuple[float, float]:
    """Return the mean log loss, in nats, if a share of the labels was drawn at random, and that share.

    The share is the one that makes the labels likeliest; 0 where none does better. A wrong label costs a sure model
    any number of nats: without that share a few of them choose the model that is sure of nothing, whatever it knows.

    Args:
        probabilities: float32 [texts, classes].
        targets: Class indices, int32 [texts]; for a multi-label task multi-hot, int32 [texts, labels].
    """
    from scipy.optimize import minimize_scalar

    if targets.ndim == 1:
        likely, chance = probabilities[np.arange(len(targets)), targets], 1 / probabilities.shape[1]
    else:
        likely, chance = np.where(targets == 1, probabilities, 1 - probabilities), 0.5
    likely = np.clip(likely.astype(np.float64), _SMALLEST, 1)

    def loss(share: float) -> float:
        return float(-np.log((1 - share) * likely + share * chance).mean())

    found = minimize_scalar(loss, bounds=(0, 1), method="bounded")
    return min((loss(0), 0.0), (float(found.fun), float(found.x)))


def encode(task: ClassificationTask, split: TokenisedSplit) -> np.ndarray:
    """Return the vector of each text of `split`, float32 [texts, hidden]; no dropout."""
    (found,) = by_batches(
        lambda rows: [task.encoding(segments(split, rows))], task.preprocessor, split, "encoding texts"
    )
    return found


def _regression(vectors: np.ndarray, targets: np.ndarray, strength: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the kernel, float32 [hidden, logits], and the bias, float32 [logits]; multi-label: a column a label."""
    from sklearn.exceptions import ConvergenceWarning  # here: a second of every training's start
    from sklearn.linear_model import LogisticRegression

    def fit(own: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # its steps are many; the rest is early stopping
            fitted = LogisticRegression(C=strength, max_iter=_STEPS).fit(vectors, own)
        return fitted.coef_.T.astype(np.float32), fitted.intercept_.astype(np.float32)

    if targets.ndim == 1:
        return fit(targets)
    columns = [
        fit(own) if 0 < own.sum() < len(own) else (np.zeros((vectors.shape[1], 1), np.float32), _constant(own))
        for own in targets.T
    ]
    return np.concatenate([kernel for kernel, _ in columns], 1), np.concatenate([bias for _, bias in columns])


def _constant(targets: np.ndarray) -> np.ndarray:
    """Return the bias of a label that all train texts have, or none: its smoothed log odds, float32 [1]."""
    with_label = float(targets.sum())
    return np.array([np.log((with_label + 0.5) / (len(targets) - with_label + 0.5))], np.float32)
