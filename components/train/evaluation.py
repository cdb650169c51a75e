"""Predictions and metrics of the model in training on a split, without dropout."""

import math
import time
from collections import deque
from collections.abc import Callable, Sequence

import numpy as np
import tensorflow as tf

from berth import progress
from berth.data.token_ids import TokenisedSplit, segments
from berth.encoders.preprocessor import Preprocessor
from berth.errors import BerthError
from berth.macro_f1 import macro_f1
from berth.models.decision_rule import decisions
from berth.models.saved_model import full_float32
from berth.training.batching import Batching, batches
from berth.training.task import BatchSignature
from components.train.classifier import Classifier
from components.train.long_texts import vectors

_BATCH = 64
_TOKENS = 8_192
"""Most tokens of a batch, with padding, unless one text has more: 64 texts of 512 tokens need gigabytes."""
_PROGRESS_SECONDS = 1.0


EvaluationFunction = Callable[[list[tf.RaggedTensor], np.ndarray], tuple[tf.Tensor, tf.Tensor]]


def evaluation_function(classifier: Classifier, preprocessor: Preprocessor) -> EvaluationFunction:
    """Return a compiled function: (segments, targets) -> (probabilities, loss of each)."""

    @tf.function(input_signature=list(batch_signature(classifier, preprocessor)), autograph=False)
    def evaluation(segments: list[tf.RaggedTensor], targets: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        logits = classifier.logits_of(vectors(classifier, preprocessor, segments, training=False), training=False)
        return classifier.probabilities(logits), classifier.loss(logits, targets)

    return evaluation


def encoding_function(
    classifier: Classifier, preprocessor: Preprocessor
) -> Callable[[list[tf.RaggedTensor]], tf.Tensor]:
    """Return a compiled function from the segments of texts to their vectors, float32 [texts, hidden]; no dropout."""

    @tf.function(input_signature=[batch_signature(classifier, preprocessor)[0]], autograph=False)
    def encoding(segments: list[tf.RaggedTensor]) -> tf.Tensor:
        return vectors(classifier, preprocessor, segments, training=False)

    return encoding


def batch_signature(classifier: Classifier, preprocessor: Preprocessor) -> BatchSignature:
    """Return the signature of a function of a batch: its segments, one or a pair, and its targets."""
    segment = tf.RaggedTensorSpec([None, None], tf.int32, row_splits_dtype=tf.int64)
    targets = [None, len(classifier.labels)] if classifier.task == "multi_label" else [None]
    return [segment] * (2 if preprocessor.pairs else 1), tf.TensorSpec(targets, tf.int32)


def metrics_of(
    probabilities: np.ndarray, losses: np.ndarray, split: TokenisedSplit, classifier: Classifier
) -> dict[str, float]:
    """Return val_loss, the mean cross-entropy, and its standard error, val_accuracy and val_macro_f1 of predictions.

    A label of a multi-label text counts from a probability of 0.5.
    """
    decided, targets = decisions(probabilities, classifier.task), split.targets
    truth = targets == 1 if classifier.task == "multi_label" else targets[:, None] == np.arange(len(classifier.labels))
    accuracy = (decided == truth).all(axis=1).mean()
    return {
        "val_loss": float(losses.mean()),
        "val_loss_error": float(losses.std() / math.sqrt(len(losses))),
        "val_accuracy": float(accuracy),
        "val_macro_f1": macro_f1(truth, decided),
    }


def predict(
    evaluation: EvaluationFunction, preprocessor: Preprocessor, split: TokenisedSplit, name: str
) -> tuple[np.ndarray, np.ndarray]:
    """Return the probabilities, float32 [texts, classes], and the losses, float32 [texts], in the order of `split`."""
    probabilities, losses = by_batches(
        lambda rows: evaluation(segments(split, rows), split.targets[rows]), preprocessor, split, f"predicting {name}"
    )
    return probabilities, losses


def by_batches(
    call: Callable[[np.ndarray], Sequence[tf.Tensor]], preprocessor: Preprocessor, split: TokenisedSplit, words: str
) -> list[np.ndarray]:
    """Return what `call` returns for the rows of each batch, each [rows, ...], joined in `split`'s order; no TF32."""
    with full_float32():
        return _by_batches(call, preprocessor, split, words)


def _by_batches(
    call: Callable[[np.ndarray], Sequence[tf.Tensor]], preprocessor: Preprocessor, split: TokenisedSplit, words: str
) -> list[np.ndarray]:
    made: list[list[np.ndarray]] = []
    order: list[np.ndarray] = []
    widths = preprocessor.widths(split)
    budget = _TOKENS
    to_do = deque(batches(widths, Batching(_BATCH)))
    done, reported = 0, time.perf_counter()
    while to_do:
        rows = to_do.popleft()
        widest = int(widths[rows].max())
        if len(rows) > (most := max(1, budget // widest)):
            to_do.extendleft(reversed(np.split(rows, range(most, len(rows), most))))
            continue
        try:
            made.append([tensor.numpy() for tensor in call(rows)])
        except tf.errors.ResourceExhaustedError as error:
            budget = _halved(len(rows), widest, error)
            to_do.appendleft(rows)
            continue
        order.append(rows)
        done += len(rows)
        if time.perf_counter() - reported > _PROGRESS_SECONDS:
            reported = time.perf_counter()
            progress.report(done, len(split), words)
    back = np.argsort(np.concatenate(order))
    return [np.concatenate(parts)[back] for parts in zip(*made, strict=True)]


def _halved(texts: int, widest: int, error: Exception) -> int:
    """Return half of the tokens of a batch that memory ran out in; raise BerthError if it was one text."""
    if texts == 1:
        raise BerthError(
            f"memory ran out in predicting a text of {widest} tokens. Try a smaller sequence_length."
        ) from error
    budget = texts * widest // 2
    print(f"memory ran out in predicting {texts} texts of {widest} tokens; going on with {budget:,} tokens", flush=True)
    return budget
