"""The recipe `contrast`: texts of one label are drawn together, others apart; then a head is fitted to the vectors.

For few texts: each batch compares all of its texts with each other, so that a handful of them gives hundreds of
comparisons (SetFit, Tunstall et al. 2022, with the comparisons of a whole batch in place of single pairs).
"""

from typing import Any

import numpy as np
import tensorflow as tf

from berth.data.token_ids import segments
from berth.errors import BerthError
from berth.training.task import Batch
from components.train.defaults import pairs_of
from components.train.frozen import best_head
from components.train.task import ClassificationTask


class ContrastiveTask(ClassificationTask):
    """See TrainingTask; a row is two texts of one label, or twice the only one, which differ by dropout.

    The head is not trained: each evaluation fits it to the vectors of the encoder as it is then.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        if self.classifier.task != "single_label":
            raise BerthError("recipe: contrast needs one label a text, and these have several. Set recipe: berth.")
        head = {id(own) for own in self.replicated.head.trainable_variables}
        self.variables = [own for own in self.replicated.variables if id(own) not in head]
        own_segments, targets = self.batch_signature
        self.batch_signature = (own_segments, own_segments, targets)
        self._widths_of_texts = self.widths
        self.window *= 2
        self.begin_epoch(1)

    def begin_epoch(self, epoch: int) -> None:
        """Draw the epoch's pairs; every label comes equally often."""
        rng = np.random.default_rng([self.recipe.seed, epoch])
        self._pairs = draw(self.train.targets, pairs_of(len(self.train)), rng)
        self.widths = self._widths_of_texts[self._pairs].sum(1)

    def rows_of(self, epochs: int) -> int:
        return len(self.widths) * epochs

    def batch(self, rows: np.ndarray) -> Batch:
        first, second = self._pairs[rows].T
        return segments(self.train, first), segments(self.train, second), self.train.targets[first]

    def parts(self, rows: np.ndarray) -> list[np.ndarray]:
        """Return all `rows` as one part: they are compared with each other."""
        return [rows]

    def loss(self, batch: Batch) -> tf.Tensor:
        first, second, targets = batch
        both = [tf.concat(texts, 0) for texts in zip(first, second, strict=True)]
        each = contrastive_loss(self.vectors(both), tf.concat([targets, targets], 0))
        return tf.reduce_mean(tf.stack(tf.split(each, 2)), 0)

    def evaluate(self) -> dict[str, float]:
        self.take_over()
        self.classifier.head.set_weights(best_head(self))
        return self.evaluate_own()


def draw(targets: np.ndarray, pairs: int, rng: np.random.Generator) -> np.ndarray:
    """Return row numbers, int64 [pairs, 2]: two texts of one label each, the labels in turn.

    Args:
        targets: Class indices, int32 [texts].
        pairs: How many.
        rng: What they are drawn by.

    Example:
        >>> draw(np.array([0, 0, 1]), 2, np.random.default_rng(0)).shape
        (2, 2)
    """
    labels = np.unique(targets)
    turns = np.concatenate([rng.permutation(labels) for _ in range(-(-pairs // len(labels)))])[:pairs]
    rows = {label: np.flatnonzero(targets == label) for label in labels}
    chosen = [rng.choice(rows[label], 2, replace=len(rows[label]) == 1) for label in turns]
    return np.stack(chosen).astype(np.int64)


def contrastive_loss(vectors: tf.Tensor, targets: tf.Tensor) -> tf.Tensor:
    """Return how far each text's cosines to the others are from 1 (same label) and 0 (another), float32 [texts].

    Half of it is the mean square over the texts of its label, half that over the others, whatever their numbers.

    Args:
        vectors: float32 [texts, hidden].
        targets: Class indices, int32 [texts].
    """
    directions = tf.math.l2_normalize(tf.cast(vectors, tf.float32), -1)
    same = tf.cast(targets[:, None] == targets[None, :], tf.float32)
    squares = (tf.matmul(directions, directions, transpose_b=True) - same) ** 2
    others = tf.linalg.set_diag(same, tf.zeros_like(same[0]))
    return 0.5 * (_mean(squares, others) + _mean(squares, 1.0 - same))


def _mean(values: tf.Tensor, weights: tf.Tensor) -> tf.Tensor:
    """Return the weighted mean of each row; 0 where no weight is."""
    return tf.math.divide_no_nan(tf.reduce_sum(values * weights, -1), tf.reduce_sum(weights, -1))
