"""The recipe `frozen`: a logistic regression on the vectors of the encoder as it is, put into the classifier's head."""

import time
import warnings
from collections.abc import Callable

import numpy as np
import tensorflow as tf
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression

from berth.data.token_ids import TokenisedSplit, segments
from berth.encoders.preprocessor import Preprocessor
from berth.training.trainer import Outcome
from components.train.classifier import Classifier
from components.train.defaults import FEW_VALIDATION
from components.train.evaluation import batch_signature, by_batches
from components.train.task import ClassificationTask

_STRENGTHS = (1e-4, 1e-3, 1e-2, 0.1, 1.0, 10.0)
"""Inverse strengths of regularisation, of which validation chooses; vectors are scaled to unit variance."""
_MIDDLE = 0.1
_STEPS = 2_000


def fit_head(task: ClassificationTask) -> Outcome:
    """Fit the head of the task's classifier, whose encoder stays as it is.

    The strength of regularisation with the lowest validation loss is kept; it is not chosen on a tiny validation split.
    """
    start = time.perf_counter()
    metrics, weights = best_head(task, task.evaluate)
    task.classifier.head.set_weights(weights)
    seconds = time.perf_counter() - start
    tokens = int(task.widths.sum())
    return Outcome(1, metrics, len(task.train) / seconds, tokens / seconds, 0.0, epochs=1)


def best_head(
    task: ClassificationTask, evaluate: Callable[[], dict[str, float]]
) -> tuple[dict[str, float], list[np.ndarray]]:
    """Return the metrics, as `evaluate` gives them, and the weights of the head that suits the encoder as it is."""
    classifier = task.classifier
    vectors = encode(classifier, task.preprocessor, task.train)
    mean, deviation = vectors.mean(0), vectors.std(0) + 1e-6
    scaled = (vectors - mean) / deviation
    best: tuple[float, list[np.ndarray], dict[str, float]] | None = None
    for strength in _STRENGTHS if len(task.validation) >= FEW_VALIDATION else (_MIDDLE,):
        kernel, bias = _regression(scaled, task.train.targets, strength)
        kernel = kernel / deviation[:, None]
        classifier.head.set_weights([kernel, bias - mean @ kernel])
        metrics = evaluate()
        print(f"head, C {strength:g}: validation loss {metrics['val_loss']:.4f}", flush=True)
        if best is None or metrics["val_loss"] < best[0]:
            best = metrics["val_loss"], classifier.head.get_weights(), metrics
    assert best is not None
    return best[2], best[1]


def encode(classifier: Classifier, preprocessor: Preprocessor, split: TokenisedSplit) -> np.ndarray:
    """Return the vector of each text of `split`, float32 [texts, hidden]; no dropout."""

    @tf.function(input_signature=[batch_signature(classifier, preprocessor)[0]])
    def vectors(own: list[tf.RaggedTensor]) -> tf.Tensor:
        return classifier.vectors(preprocessor.pack(own), training=False)

    (found,) = by_batches(lambda rows: [vectors(segments(split, rows))], preprocessor, split, "encoding texts")
    return found


def _regression(vectors: np.ndarray, targets: np.ndarray, strength: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the kernel, float32 [hidden, logits], and the bias, float32 [logits]; multi-label: a column a label."""

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
