"""One step of training: batches in, their gradients, one update of the weights out."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from berth.data.token_ids import TokenisedSplit, segments
from berth.encoders.preprocessor import Preprocessor
from berth.errors import BerthError
from berth.training.devices import Devices
from berth.training.optimizer import AdamW, rate_factors
from berth.training.precision import LossScale, choose, training
from berth.training.recipe import Recipe
from components.train.classifier import Classifier
from components.train.evaluation import batch_signature
from components.train.loss import Objective

if TYPE_CHECKING:
    import numpy as np


class TrainStep:
    """Updates a classifier's weights, from one batch or from several together.

    Only the variables that the recipe does not freeze are differentiated and updated.
    """

    def __init__(
        self,
        classifier: Classifier,
        preprocessor: Preprocessor,
        recipe: Recipe,
        objective: Objective,
        devices: Devices,
    ) -> None:
        knobs = recipe.training
        names = [variable.name for variable in classifier.variables]
        factors = rate_factors(names, knobs.layer_decay, knobs.freeze_embeddings, knobs.freeze_layers)
        self.recipe = recipe
        self.classifier = classifier
        self.variables = [own for own, factor in zip(classifier.variables, factors, strict=True) if factor]
        self.devices = devices
        self.precision = choose(knobs.precision) if recipe.recipe == "berth" else "float32"
        with devices.scope():
            if recipe.recipe == "berth":
                trained = [factor for factor in factors if factor]
                self.optimizer: Any = AdamW(self.variables, recipe.weight_decay, trained)
            else:
                self.optimizer = _Adam(self.variables, recipe.peak_rate)
            self._loss_scale = LossScale() if self.precision == "float16" else None
        self._preprocessor = preprocessor
        self._objective = objective
        self._most_rows: int | None = None
        self._fused, self._gradients, self._apply = self._compile()

    @property
    def state(self) -> list[Any]:
        """The variables that a step changes and a checkpoint has to hold, in a fixed order."""
        return [*self.variables, *self.optimizer.state, *(self._loss_scale.state if self._loss_scale else ())]

    def __call__(self, split: TokenisedSplit, batches: "Sequence[np.ndarray]", rate: float, step: int) -> float:
        """Take the 0-based `step` from the rows of `split` that each of `batches` names; return their mean loss.

        Raises:
            BerthError: memory ran out.
        """
        import tensorflow as tf

        while True:
            parts = list(batches)
            if self._most_rows:
                parts = [part for batch in batches for part in _parts(batch, self._most_rows)]
            try:
                with training(self.precision):
                    return self._step(split, parts, rate, step)
            except tf.errors.ResourceExhaustedError as error:
                self._shrink(max(map(len, parts)), error)

    def _step(self, split: TokenisedSplit, parts: "list[np.ndarray]", rate: float, step: int) -> float:
        import tensorflow as tf

        rate = tf.constant(rate, tf.float32)
        rows = tf.constant(sum(map(len, parts)), tf.float32)
        self.classifier.seeds.set(step, 0, self.devices.worker)
        if len(parts) == 1 and not self.recipe.training.auto_batch:
            return float(self._fused(self._shares(split, parts[0]), rows, rate))
        # Gradients and update apart: of the batches' gradients only the sum is kept, and memory that runs out in the
        # middle leaves the weights as they were.
        loss, summed = 0.0, None
        for number, part in enumerate(parts):
            self.classifier.seeds.set(step, number, self.devices.worker)
            own_loss, gradients = self._gradients(self._shares(split, part), rows)
            summed = gradients if summed is None else [_add(*pair) for pair in zip(summed, gradients, strict=True)]
            loss += float(own_loss)
        self._apply(summed, rate)
        return loss

    def _shares(self, split: TokenisedSplit, rows: "np.ndarray") -> list[Any]:
        """Return what each replica here gets of `rows`: segments and targets."""
        shares = self.devices.share(rows, split.lengths())
        return [(segments(split, own), split.targets[own]) for own in shares]

    def _applied(self, gradients: Any, rate: Any) -> Any:
        import tensorflow as tf

        self.optimizer.apply(gradients, self.variables, rate)
        return tf.constant(True)

    def _shrink(self, rows: int, error: Exception) -> None:
        if rows == 1 or not self.recipe.training.auto_batch:
            wanted = "a smaller sequence_length" if rows == 1 else f"batch_size: {rows // 2}"
            raise BerthError(
                f"memory ran out in a batch of {rows} texts. Try {wanted}, or training.auto_batch: true."
            ) from error
        self._most_rows = rows // 2
        print(f"memory ran out in a batch of {rows} texts; going on with {self._most_rows} at a time", flush=True)

    def _compile(self) -> tuple[Any, Any, Any]:
        """Return three compiled functions.

        (shares, rows, rate) -> mean loss, having updated the weights; (shares, rows) -> (summed loss / rows, its
        gradients); (gradients, rate) -> nothing, having updated the weights. A share is the segments and the targets
        of one replica here, `rows` how many texts all replicas have together.
        """
        import tensorflow as tf

        number = tf.TensorSpec([], tf.float32)
        shares_signature = [tuple(batch_signature(self.classifier, self._preprocessor))] * self.devices.here
        # The original recipe pads every text to the same length.
        length = self._preprocessor.sequence_length if self.recipe.recipe == "baseline" else None

        def differentiate(share: Any, rows: Any) -> Any:
            segments, targets = share
            inputs = self._preprocessor.pack(segments, length)
            with tf.GradientTape(watch_accessed_variables=False) as tape:
                tape.watch(self.variables)
                logits = self.classifier.logits(inputs, training=True)
                loss = tf.reduce_sum(self._objective(self.classifier, logits, targets)) / rows
                scaled = self._loss_scale.scale(loss) if self._loss_scale else loss
            loss, *gradients = self.devices.sum([loss, *tape.gradient(scaled, self.variables)])
            return loss, gradients

        def update(gradients: Any, rate: Any) -> None:
            if self._loss_scale is None:
                self.optimizer.apply(gradients, self.variables, rate)
                return
            gradients, finite = self._loss_scale.unscale(gradients)
            # A gradient that is not finite says that the scale is too large, not that training has failed.
            tf.cond(finite, lambda: self._applied(gradients, rate), lambda: tf.constant(False))
            self._loss_scale.update(finite)

        def step(share: Any, rows: Any, rate: Any) -> Any:
            loss, gradients = differentiate(share, rows)
            update(gradients, rate)
            return loss

        run = self.devices.run

        @tf.function(input_signature=[shares_signature, number, number])
        def fused(shares: Any, rows: Any, rate: Any) -> Any:
            return run(lambda replica: step(shares[replica], rows, rate))

        @tf.function(input_signature=[shares_signature, number])
        def gradients(shares: Any, rows: Any) -> Any:
            return run(lambda replica: differentiate(shares[replica], rows))

        @tf.function(reduce_retracing=True)
        def apply(gradients: Any, rate: Any) -> None:
            run(lambda _: update(gradients, rate))

        return fused, gradients, apply


class _Adam:
    """Adam as Keras has it, for the original recipe."""

    def __init__(self, variables: Sequence[Any], learning_rate: float) -> None:
        import tf_keras

        self._adam = tf_keras.optimizers.Adam(learning_rate)
        self._adam.build(variables)

    @property
    def state(self) -> list[Any]:
        return list(self._adam.variables)

    def apply(self, gradients: Sequence[Any], variables: Sequence[Any], learning_rate: Any) -> None:
        # The rate is the same in every step, and replicas have added up their gradients already.
        self._adam.apply_gradients(zip(gradients, variables, strict=True), skip_gradients_aggregation=True)


def _parts(rows: "np.ndarray", most: int) -> "list[np.ndarray]":
    import numpy as np

    return np.split(rows, range(most, len(rows), most))


def _add(first: Any, second: Any) -> Any:
    """Return the sum of two gradients; of two sparse ones, their slices one behind the other."""
    import tensorflow as tf

    if first is None:
        return second
    if second is None:
        return first
    if isinstance(first, tf.IndexedSlices):
        values = tf.concat([first.values, second.values], 0)
        return tf.IndexedSlices(values, tf.concat([first.indices, second.indices], 0), first.dense_shape)
    return first + second
