"""One step of training: batches in, their gradients, one update of the weights out."""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import tensorflow as tf
import tf_keras

from berth.errors import BerthError
from berth.training.background import Ahead
from berth.training.devices import Devices
from berth.training.gradient import Gradient
from berth.training.optimizer import AdamW, rate_factors
from berth.training.pending import StepLoss
from berth.training.precision import LossScale, choose, training
from berth.training.recipe import Recipe
from berth.training.task import Batch, TrainingTask


class Optimizer(Protocol):
    """Updates variables from their gradients."""

    @property
    def state(self) -> list[tf.Variable]:
        """The variables that a checkpoint has to hold, in a fixed order."""

    def apply(
        self,
        gradients: Sequence[Gradient],
        variables: Sequence[tf.Variable],
        learning_rate: tf.Tensor,
        weight: tf.Tensor | float = 1.0,
    ) -> object:
        """Update `variables`, in the order in which the optimizer was given them.

        The gradients are those of a mean over rows, times `weight`: the step's rows by those of a usual step.
        """


class TrainStep:
    """Updates the variables of a task, from one batch or from several together.

    Only the variables that the recipe does not freeze are differentiated and updated.

    Args:
        task: What is trained.
        recipe: How.
        devices: Where.

    Example:
        >>> step = TrainStep(task, recipe, devices)
        >>> loss = step([np.arange(32)], rate=3e-5, step=0).read()  # of the first 32 rows
    """

    def __init__(self, task: TrainingTask, recipe: Recipe, devices: Devices) -> None:
        options = recipe.training
        if options.auto_batch and not devices.alone:
            raise BerthError(
                "training.auto_batch: several processes (TF_CONFIG) cannot halve their batches together. Leave it out, "
                "and set a batch_size that fits."
            )
        names = [variable.name for variable in task.variables]
        factors = rate_factors(
            names, recipe.layer_decay, options.freeze_embeddings, options.freeze_layers, recipe.head_rate
        )
        self.task, self.recipe, self.devices = task, recipe, devices
        self.variables = [own for own, factor in zip(task.variables, factors, strict=True) if factor]
        self._is_tied = [any(own is tied for tied in task.tied) for own in self.variables]
        self.precision = choose(options.precision) if recipe.facts.mixed_precision else "float32"
        with devices.scope():
            self.optimizer: Optimizer = (
                AdamW(self.variables, recipe.weight_decay, [factor for factor in factors if factor])
                if recipe.facts.optimizer == "adamw"
                else _Adam(self.variables, recipe.peak_learning_rate)
            )
            self._loss_scale = LossScale() if self.precision == "float16" else None
        self.most_rows = 0
        """The most rows that are differentiated together, since memory ran out; 0: any number."""
        self._fused, self._gradients, self._apply = self._compile()
        self._ahead = Ahead(self._shares)

    @property
    def state(self) -> dict[str, tf.Variable]:
        """The variables that a step changes and a checkpoint has to hold, by names that are the same in each process.

        Those of float16's loss scale are there only in float16.
        """
        scale = self._loss_scale.state if self._loss_scale else ()
        named: dict[str, tf.Variable] = {}
        for variable in (*self.variables, *self.optimizer.state, *scale):
            same = sum(1 for name in named if name.partition("#")[0] == variable.name)
            named[f"{variable.name}#{same}" if same else variable.name] = variable
        return named

    def __call__(
        self,
        batches: Sequence[np.ndarray],
        rate: float,
        step: int,
        usual_rows: float = 0.0,
        following: Sequence[np.ndarray] = (),
    ) -> StepLoss:
        """Take the 0-based `step` from the row numbers of each of `batches`; return the mean loss of their rows.

        Batches of the epoch that are `following` are made meanwhile.

        Steps differ in rows, above all with a token budget. The loss that is differentiated is the rows' sum by
        `usual_rows`, the mean over the epoch's steps, so that every row of an epoch counts the same; 0: by their
        own number.

        Raises:
            BerthError: memory ran out.
        """
        while True:
            parts = self._parts(batches)
            try:
                with training(self.precision), self.devices.together():
                    return self._step(parts, rate, step, usual_rows, self._parts(following))
            except tf.errors.ResourceExhaustedError as error:
                self._shrink(max(map(len, parts)), error)

    def _parts(self, batches: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Return the row numbers that are differentiated together."""
        parts = [part for batch in batches for part in self.task.parts(batch)]
        return [own for part in parts for own in _parts(part, self.most_rows)] if self.most_rows else parts

    def _step(
        self,
        parts: list[np.ndarray],
        learning_rate: float,
        step: int,
        usual_rows: float,
        following: Sequence[np.ndarray] = (),
    ) -> StepLoss:
        rate = tf.constant(learning_rate, tf.float32)
        own_rows = sum(map(len, parts))
        rows = tf.constant(usual_rows or own_rows, tf.float32)
        weight = own_rows / (usual_rows or own_rows)
        self.task.seed(step, 0, self.devices.worker)
        all_shares = [self._ahead.get(part) for part in parts]
        self._ahead.begin(following)
        if len(parts) == 1 and not self.recipe.training.auto_batch:
            return StepLoss([self._fused(all_shares[0], rows, rate, tf.constant(weight, tf.float32))], weight)
        # Gradients and update apart: of the batches' gradients only the sum is kept, and memory that runs out in the
        # middle leaves the weights as they were.
        losses, summed = [], None
        for number, shares in enumerate(all_shares):
            self.task.seed(step, number, self.devices.worker)
            own_loss, gradients = self._gradients(shares, rows)
            summed = gradients if summed is None else [_add(*pair) for pair in zip(summed, gradients, strict=True)]
            losses.append(own_loss)
        self._apply(summed, rate, tf.constant(weight, tf.float32))
        return StepLoss(losses, weight)

    def _shares(self, rows: np.ndarray) -> list[Batch]:
        """Return the batch of each replica here, which together are `rows`."""
        return [self.task.batch(own) for own in self.devices.share(rows, self.task.widths)]

    def _applied(self, gradients: Sequence[Gradient], rate: tf.Tensor, weight: tf.Tensor) -> tf.Tensor:
        self.optimizer.apply(gradients, self.variables, rate, weight)
        return tf.constant(True)

    def _shrink(self, rows: int, error: Exception) -> None:
        if rows == 1 or not self.recipe.training.auto_batch:
            other = "a smaller sequence_length" if rows == 1 else f"batch_size: {rows // 2}, which starts again"
            halves = not self.recipe.training.auto_batch and self.devices.alone  # several processes cannot together
            own = "training.auto_batch: true, which goes on from here, or " if halves else ""
            raise BerthError(f"memory ran out in a batch of {rows} texts. Try {own}{other}.") from error
        self.most_rows = rows // 2
        print(f"memory ran out in a batch of {rows} texts; going on with {self.most_rows} at a time", flush=True)

    def _compile(self) -> tuple[tf.types.experimental.PolymorphicFunction, ...]:
        """Return three compiled functions.

        (shares, rows, rate, weight) -> summed loss / rows, having updated the weights; (shares, rows) -> (summed loss
        / rows, its gradients); (gradients, rate, weight) -> nothing, having updated the weights. A share is the batch
        of one replica here, `rows` the rows of a usual step, `weight` this step's rows by those.
        """
        number = tf.TensorSpec([], tf.float32)
        shares_signature = [self.task.batch_signature] * self.devices.here

        def differentiate(share: Batch, rows: tf.Tensor) -> tuple[tf.Tensor, list[Gradient]]:
            with tf.GradientTape(watch_accessed_variables=False) as tape:
                tape.watch(self.variables)
                loss = tf.reduce_sum(self.task.loss(share)) / rows
                scaled = self._loss_scale.scale(loss) if self._loss_scale else loss
            found = zip(tape.gradient(scaled, self.variables), self._is_tied, strict=True)
            loss, *gradients = self.devices.sum([loss, *(_dense(own) if tied else own for own, tied in found)])
            return loss, gradients

        def update(gradients: Sequence[Gradient], rate: tf.Tensor, weight: tf.Tensor) -> None:
            if self._loss_scale is None:
                self.optimizer.apply(gradients, self.variables, rate, weight)
                return
            gradients, finite = self._loss_scale.unscale(gradients)
            # A gradient that is not finite says that the scale is too large, not that training has failed.
            tf.cond(finite, lambda: self._applied(gradients, rate, weight), lambda: tf.constant(False))
            self._loss_scale.update(finite)

        def step(share: Batch, rows: tf.Tensor, rate: tf.Tensor, weight: tf.Tensor) -> tf.Tensor:
            loss, gradients = differentiate(share, rows)
            update(gradients, rate, weight)
            return loss

        run = self.devices.run

        @tf.function(input_signature=[shares_signature, number, number, number], autograph=False)
        def fused(shares: list[Batch], rows: tf.Tensor, rate: tf.Tensor, weight: tf.Tensor) -> tf.Tensor:
            return run(lambda replica: step(shares[replica], rows, rate, weight))

        @tf.function(input_signature=[shares_signature, number], autograph=False)
        def gradients(shares: list[Batch], rows: tf.Tensor) -> tuple[tf.Tensor, list[Gradient]]:
            return run(lambda replica: differentiate(shares[replica], rows))

        @tf.function(reduce_retracing=True, autograph=False)
        def apply(gradients: Sequence[Gradient], rate: tf.Tensor, weight: tf.Tensor) -> None:
            run(lambda _: update(gradients, rate, weight))

        return fused, gradients, apply


class _Adam:
    """Adam as Keras has it, for the original recipe."""

    def __init__(self, variables: Sequence[tf.Variable], learning_rate: float) -> None:
        self._adam = tf_keras.optimizers.Adam(learning_rate)
        self._adam.build(variables)

    @property
    def state(self) -> list[tf.Variable]:
        return list(self._adam.variables)

    def apply(
        self,
        gradients: Sequence[Gradient],
        variables: Sequence[tf.Variable],
        learning_rate: tf.Tensor,
        weight: tf.Tensor | float = 1.0,
    ) -> None:
        # The rate is the same in every step, and replicas have added up their gradients already.
        self._adam.apply_gradients(zip(gradients, variables, strict=True), skip_gradients_aggregation=True)


def _dense(gradient: Gradient) -> Gradient:
    """Return the sum of all slices for each row of a sparse gradient as one tensor."""
    if not isinstance(gradient, tf.IndexedSlices):
        return gradient
    return tf.math.unsorted_segment_sum(gradient.values, gradient.indices, gradient.dense_shape[0])


def _parts(rows: np.ndarray, most: int) -> list[np.ndarray]:
    return np.split(rows, range(most, len(rows), most))


def _add(first: Gradient, second: Gradient) -> Gradient:
    """Return the sum of two gradients; the slices of two sparse ones one after the other."""
    if first is None:
        return second
    if second is None:
        return first
    if isinstance(first, tf.IndexedSlices):
        values = tf.concat([first.values, second.values], 0)
        return tf.IndexedSlices(values, tf.concat([first.indices, second.indices], 0), first.dense_shape)
    return first + second
