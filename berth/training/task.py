"""The training task: the model, its data and its loss, as the trainer needs to know them."""

from typing import Any, Protocol, TypeAlias

import numpy as np
import tensorflow as tf

Batch: TypeAlias = tuple[Any, ...]
"""The parts of a batch: arrays, tensors, and lists of ragged tensors; `TrainingTask.batch_signature` says which."""
BatchSignature: TypeAlias = tuple[tf.TypeSpec | list[tf.TypeSpec], ...]


class TrainingTask(Protocol):
    """A model, the data that it learns from, and its loss.

    The trainer decides which rows make a batch, differentiates the loss, updates the variables and keeps the best
    weights. Row numbers are those of the epoch that `begin_epoch` named last; a task whose epochs are all of one train
    split ignores it.

    Example:
        >>> task: TrainingTask = ClassificationTask(...)  # components.train.task; PretrainingTask is another one
        >>> loss = task.loss(task.batch(np.arange(32)))  # float32 [32]
    """

    @property
    def variables(self) -> list[tf.Variable]:
        """The trainable variables, float32, always in the same order; with several replicas the replicated ones."""

    @property
    def tied(self) -> list[tf.Variable]:
        """Those of `variables` that are looked up as well as multiplied: their gradient is one dense tensor."""

    @property
    def widths(self) -> np.ndarray:
        """The tokens of each row of the epoch as the encoder sees them, special ones included, int64 [rows]."""

    def begin_epoch(self, epoch: int) -> None:
        """Get the rows of the 1-based `epoch` ready; called in order, and again for the one that a run resumes in."""

    def rows_of(self, epochs: int) -> int:
        """Return how many rows `epochs` epochs have together."""

    @property
    def window(self) -> int:
        """The most tokens of a row that are padded together: a wider row is several windows; 0: no row is."""

    @property
    def padded_width(self) -> int:
        """The tokens that every row of a batch is padded to; 0: as many as its widest row has."""

    @property
    def batch_signature(self) -> BatchSignature:
        """The `tf.TypeSpec` of each part of what `batch` returns; no dimension depends on the rows."""

    def batch(self, rows: np.ndarray) -> Batch:
        """Return the tensors of the row numbers `rows`, int64 [batch], for `loss`; the last has one entry per row."""

    def parts(self, rows: np.ndarray) -> list[np.ndarray]:
        """Return the row numbers `rows`, int64 [batch], in parts; usually one.

        Each part is differentiated alone, to save memory.
        """

    def seed(self, step: int, part: int, worker: int) -> None:
        """Seed dropout and the like for `part` of the 0-based `step` on `worker`; called before the loss is taken."""

    def loss(self, batch: Batch) -> tf.Tensor:
        """Return the training loss of each row of a batch, float32 [rows]; called inside compiled functions."""

    def evaluate(self) -> dict[str, float]:
        """Return the metrics of the current weights on the validation split, by name."""

    def score(self, metrics: dict[str, float]) -> float:
        """Return how good the `metrics` of `evaluate` are: the weights with the highest score are kept."""

    def margin(self, metrics: dict[str, float]) -> float:
        """Return by how much less than these `metrics` later ones may score and be kept all the same.

        0.0: they have to be better; infinite: always.
        """

    def weights(self) -> list[np.ndarray]:
        """Return a copy of the weights that `evaluate` saw last, an array for each of the model's variables."""

    def restore(self, weights: list[np.ndarray]) -> None:
        """Set the model to `weights`, as `weights()` returned them."""

    def begin(self) -> dict[str, float]:
        """Measure the model before its first step. The result is kept in checkpoints and passed to `end`."""

    def check(self, begun: dict[str, float]) -> None:
        """Look at the newest evaluation, in the middle of training.

        `begun` is what `begin` returned, and may be added to.

        Raises:
            BerthError: it is certain already that the model will be of no use.
        """

    def end(self, begun: dict[str, float]) -> None:
        """Check the model after the best weights were restored.

        Raises:
            BerthError: training ran to its end, and the model is of no use.
        """
