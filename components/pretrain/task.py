"""Masked language model and next sentence prediction as a training task."""

import math

import numpy as np
import tensorflow as tf

from berth.errors import BerthError
from berth.pretraining.batches import Array, Batch, Masker, TokenRows, masked_tokens
from berth.pretraining.held_out import Judge, judge
from components.pretrain.model import PretrainingModel
from components.pretrain.rounds import Rounds


class PretrainingTask:
    """See TrainingTask; an epoch of the trainer is a round.

    Args:
        model: What is evaluated.
        replicated: What is trained: the model itself, or with several devices one that was made in their scope.
        masker: Makes batches.
        rounds: The rows to train on.
        held_out: The rows to evaluate on.
        still: Whether only new heads are trained.
    """

    padded_width = 0

    def __init__(
        self,
        model: PretrainingModel,
        replicated: PretrainingModel,
        masker: Masker,
        rounds: Rounds,
        held_out: TokenRows,
        still: bool = False,
    ) -> None:
        self.model, self.replicated, self.masker = model, replicated, masker
        self.rounds, self.held_out, self.still = rounds, held_out, still
        own = replicated.variables
        # Heads that the encoder brings are as still as it is.
        self.variables = [one for one in own if one.name.split(":")[0] in replicated.new_heads] if still else own
        self.tied = [] if still else [replicated.table]
        self.batch_signature = Batch.signature()
        self.judge = judge_of(model)

    @property
    def window(self) -> int:
        return 0

    @property
    def widths(self) -> np.ndarray:
        return self._widths

    def begin_epoch(self, epoch: int) -> None:
        self._rows = self.rounds.rows(epoch)
        self._widths = self._rows.widths()
        # The loss of a batch is about the mean over its masked tokens: replicas and the parts of a step do not know how
        # many the others have, so each token counts by the round's mean number in a row.
        settings = self.masker.settings
        self._weight = 1 / float(masked_tokens(self._widths, settings.mlm_probability).mean())

    def rows_of(self, epochs: int) -> int:
        return sum(own.rows for own in self.rounds.rounds[:epochs])

    def batch(self, rows: np.ndarray) -> Batch:
        return self.masker.batch(self._rows, rows, self._weight)

    def parts(self, rows: np.ndarray) -> list[np.ndarray]:
        return [rows]

    def seed(self, step: int, part: int, worker: int) -> None:
        self.replicated.seeds.set(step, part, worker)

    def loss(self, batch: tuple[Array, ...]) -> tf.Tensor:
        own = Batch(*batch)
        words, _, pairs, _ = self.replicated.losses(own, training=not self.still, still=self.still)
        return own.by_row(words) * own.weights + pairs

    def evaluate(self) -> dict[str, float]:
        if self.replicated is not self.model:
            self.model.restore(self.replicated.weights())
        found = judge(self.judge, self.masker, self.held_out, "evaluating held-out documents")
        return {f"val_{name}": value for name, value in found.metrics().items()}

    def score(self, metrics: dict[str, float]) -> float:
        return 0.0  # the last weights are kept: the held-out documents that gates are judged on choose nothing

    def margin(self, metrics: dict[str, float]) -> float:
        return math.inf

    def weights(self) -> list[np.ndarray]:
        return self.model.weights()

    def restore(self, weights: list[np.ndarray]) -> None:
        self.model.restore(weights)

    def begin(self) -> dict[str, float]:
        return {}

    def check(self, begun: dict[str, float]) -> None:
        """Let training go on: a loss that is not finite has ended it."""

    def end(self, begun: dict[str, float]) -> None:
        """Check the weights."""
        if not all(math.isfinite(float(np.sum(weight))) for weight in self.model.weights()):
            raise BerthError("the weights are no longer finite numbers. Lower pretraining.learning_rate.")


def judge_of(model: PretrainingModel) -> Judge:
    """Return a compiled function from a batch to what the model's heads say of it, without dropout."""

    @tf.function(input_signature=Batch.signature(), autograph=False)
    def call(*batch: tf.Tensor) -> tuple[tf.Tensor, ...]:
        return model.losses(Batch(*batch), training=False)

    return lambda batch: call(*batch)
