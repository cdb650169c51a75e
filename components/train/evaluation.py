"""What the model in training makes of a split, dropout off: after each epoch, and of the epoch that is kept."""

import time
from typing import TYPE_CHECKING, Any

from berth import progress
from berth.data.token_ids import TokenisedSplit, segments
from berth.encoders.preprocessor import Preprocessor
from berth.models.decision_rule import decisions
from berth.training.batching import Batching, batches
from components.train.classifier import Classifier

if TYPE_CHECKING:
    import numpy as np


_BATCH = 64
_PROGRESS_SECONDS = 1.0


def evaluation_function(classifier: Classifier, preprocessor: Preprocessor) -> Any:
    """Return a compiled function: (segments, targets) -> (probabilities, loss of each)."""
    import tensorflow as tf

    @tf.function(input_signature=batch_signature(classifier, preprocessor))
    def evaluation(segments: Any, targets: Any) -> Any:
        logits = classifier.logits(preprocessor.pack(segments), training=False)
        return classifier.probabilities(logits), classifier.loss(logits, targets)

    return evaluation


def batch_signature(classifier: Classifier, preprocessor: Preprocessor) -> list[Any]:
    """Return the signature of a function of a batch: its segments, one or a pair, and its targets."""
    import tensorflow as tf

    segment = tf.RaggedTensorSpec([None, None], tf.int32, row_splits_dtype=tf.int64)
    targets = [None, len(classifier.labels)] if classifier.task == "multi_label" else [None]
    return [[segment] * (2 if preprocessor.pairs else 1), tf.TensorSpec(targets, tf.int32)]


def evaluate(
    evaluation: Any, classifier: Classifier, preprocessor: Preprocessor, split: TokenisedSplit
) -> dict[str, float]:
    """Return val_loss, the mean cross-entropy, val_accuracy and val_macro_f1 on `split`; of several labels at 0.5."""
    from sklearn.metrics import f1_score

    probabilities, losses = predict(evaluation, preprocessor, split, "validation")
    decided = decisions(probabilities, classifier.task)
    if classifier.task == "multi_label":
        predicted, labels = decided.astype(int), None
        accuracy = (predicted == split.targets).all(-1).mean()
    else:
        predicted, labels = decided.argmax(-1), range(len(classifier.labels))
        accuracy = (predicted == split.targets).mean()
    macro_f1 = f1_score(split.targets, predicted, labels=labels, average="macro", zero_division=0)
    return {"val_loss": float(losses.mean()), "val_accuracy": float(accuracy), "val_macro_f1": float(macro_f1)}


def predict(
    evaluation: Any, preprocessor: Preprocessor, split: TokenisedSplit, name: str
) -> "tuple[np.ndarray, np.ndarray]":
    """Return the probabilities, float32 [texts, classes], and the losses, float32 [texts], in the order of `split`."""
    import numpy as np

    probabilities: list[np.ndarray] = []
    losses: list[np.ndarray] = []
    order: list[np.ndarray] = []
    done, said = 0, time.perf_counter()
    for rows in batches(split, Batching(_BATCH, preprocessor.room, preprocessor.special_tokens)):
        batch_probabilities, batch_losses = evaluation(segments(split, rows), split.targets[rows])
        order.append(rows)
        probabilities.append(batch_probabilities.numpy())
        losses.append(batch_losses.numpy())
        done += len(rows)
        if time.perf_counter() - said > _PROGRESS_SECONDS:
            said = time.perf_counter()
            progress.report(done, len(split), f"predicting {name}")
    back = np.argsort(np.concatenate(order))
    return np.concatenate(probabilities)[back], np.concatenate(losses)[back]
