"""AdamW for BERT (Loshchilov and Hutter 2019): lazy rows for embeddings, a rate per layer."""

import re
from collections.abc import Sequence
from typing import NamedTuple

import tensorflow as tf

from berth.errors import BerthError
from berth.training.gradient import Gradient

_BETA_1, _BETA_2, _EPSILON = 0.9, 0.999, 1e-6
CLIP_NORM = 1.0
"""The global norm that gradients are clipped to, as in BERT's own fine-tuning."""

_NOT_DECAYED = re.compile(r"layer_?norm|(^|/)(bias|beta|gamma)(:\d+)?$", re.IGNORECASE)
"""Names of biases and layer norms; TF-Hub's attention biases have two dimensions, [heads, size]."""
_HEAD = re.compile(r"^head/")
_LAYER = re.compile(r"(?:^|[/._])(?:layers?|blocks?|h)(?:_\._|[/._]?)(\d+)[/.]")
"""A layer's part in a variable's name: transformer/layer_0/, encoder/layer_._0/, encoder/layer/0/ (TF-Hub and
transformers), transformer_layer_0/ (KerasHub, MobileBERT), layers.0., block_0/, h.0."""


def rate_factors(
    names: Sequence[str], layer_decay: float, freeze_embeddings: bool, freeze_layers: int, head_rate: float = 1.0
) -> list[float]:
    """Return the factor of the learning rate for each variable; 0.0: the variable is frozen.

    The rate falls with the distance from the head (Howard and Ruder 2018, as in ELECTRA's fine-tuning): with L layers,
    layer i has `layer_decay` ** (L - i), the embeddings `layer_decay` ** (L + 1), pooler and head 1.0.

    Args:
        names: The variables' names; for the encoder, those in its SavedModel.
        layer_decay: 1.0: the same rate for all.
        freeze_embeddings: Whether word, position and type embeddings, and their norm, are not trained.
        freeze_layers: Number of layers, counted from the embeddings, that are not trained.
        head_rate: The factor of the variables named head/.

    Raises:
        BerthError: a setting needs embeddings or layers and the names do not show them, or there are fewer layers.

    Example:
        >>> names = ["word_embeddings:0", "layer_0/kernel:0", "layer_1/kernel:0", "head/kernel:0"]
        >>> rate_factors(names, layer_decay=0.5, freeze_embeddings=True, freeze_layers=0)
        [0.0, 0.25, 0.5, 1.0]
    """
    numbers = [int(found[1]) if (found := _LAYER.search(name)) else None for name in names]
    order = sorted({number for number in numbers if number is not None})  # some count from 1
    layers = [None if number is None else order.index(number) for number in numbers]
    embeddings = [layer is None and "embedding" in name.lower() for name, layer in zip(names, layers, strict=True)]
    count = len(order)
    if not count and (layer_decay != 1.0 or freeze_layers):
        setting = "freeze_layers" if freeze_layers else "layer_decay"
        raise BerthError(
            f"{setting}: the encoder's variables have no layers in their names (such as layer_0/). "
            f"Leave {setting} out, or name another encoder."
        )
    if not any(embeddings) and (layer_decay != 1.0 or freeze_embeddings):
        setting = "freeze_embeddings" if freeze_embeddings else "layer_decay"
        raise BerthError(
            f"{setting}: none of the encoder's variables has embeddings in its name. "
            f"Leave {setting} out, or name another encoder."
        )
    if freeze_layers > count:
        raise BerthError(f"freeze_layers: {freeze_layers} is more than the encoder has ({count}). Freeze fewer.")

    def factor(layer: int | None, embedding: bool, head: bool) -> float:
        if embedding:
            return 0.0 if freeze_embeddings else layer_decay ** (count + 1)
        if layer is None:
            return head_rate if head else 1.0
        return 0.0 if layer < freeze_layers else layer_decay ** (count - layer)

    heads = [bool(_HEAD.match(name)) for name in names]
    return [factor(*each) for each in zip(layers, embeddings, heads, strict=True)]


class AdamW:
    """AdamW whose moments of an embedding row change only in steps that touch the row, and decay with it.

    A word table is half of a small BERT and a batch touches few of its rows: updating the others is most of the cost of
    a dense optimizer. Weight decay is decoupled, and is not applied to biases and layer norms (found by name) nor to
    any variable of one dimension.

    Under a tf.distribute strategy, make it in the strategy's scope and call `apply` in each replica with the gradients'
    sum or mean over replicas: every replica then makes the same update to its own copies.

    Args:
        variables: The variables to train, float32.
        weight_decay: The decay per step, which is multiplied by the learning rate.
        rate_factors: The factor of the learning rate for each variable; None: 1.0 for all.

    Example:
        >>> import tensorflow as tf
        >>> weight = tf.Variable([[1.0, 1.0]], name="kernel")
        >>> norm = AdamW([weight], weight_decay=0.0).apply([tf.constant([[0.3, 0.0]])], [weight], 0.1)
        >>> weight.numpy().astype(float).round(3).tolist()
        [[0.9, 1.0]]
    """

    def __init__(
        self, variables: Sequence[tf.Variable], weight_decay: float, rate_factors: Sequence[float] | None = None
    ) -> None:
        self._factors = list(rate_factors) if rate_factors is not None else [1.0] * len(variables)
        self._decays = [
            weight_decay if len(variable.shape) > 1 and not _NOT_DECAYED.search(variable.name) else 0.0
            for variable in variables
        ]
        self._moments, self._squares = (
            [
                tf.Variable(tf.zeros(variable.shape), trainable=False, name=f"{kind}/{variable.name.partition(':')[0]}")
                for variable in variables
            ]
            for kind in ("moment", "square")
        )
        self.step = tf.Variable(0, dtype=tf.int64, trainable=False, name="step")

    @property
    def state(self) -> list[tf.Variable]:
        """The variables that a checkpoint must hold, always in this order."""
        return [*self._moments, *self._squares, self.step]

    def apply(
        self,
        gradients: Sequence[Gradient],
        variables: Sequence[tf.Variable],
        learning_rate: float | tf.Tensor,
        weight: float | tf.Tensor = 1.0,
    ) -> tf.Tensor:
        """Update `variables`, in the order of the constructor; return the gradients' norm before clipping, a scalar.

        A gradient is a tensor, IndexedSlices (rows may repeat), or None: no update. `weight` is the step's rows by
        those of a usual step: the gradients of a step of more rows are clipped to so much more, so that clipping does
        not take from its rows what it leaves to others.
        """
        gradients = [_merge_rows(gradient) for gradient in gradients]
        norm = tf.linalg.global_norm(gradients)
        most = CLIP_NORM * tf.maximum(weight, 1.0)
        scale = most / tf.maximum(norm, most)
        tf.raw_ops.AssignAddVariableOp(resource=self.step.handle, value=tf.constant(1, tf.int64))
        done = tf.cast(self.step.read_value(), tf.float32)
        powers = tf.pow(_BETA_1, done), tf.pow(_BETA_2, done)
        each = zip(gradients, variables, self._moments, self._squares, self._factors, self._decays, strict=True)
        for gradient, variable, moment, square, factor, decay in each:
            if gradient is None:
                continue
            update = _update_rows if isinstance(gradient, tf.IndexedSlices) else _update
            update(gradient, scale, _Slot(variable, moment, square, learning_rate * factor, decay), powers)
        return norm


class _Slot(NamedTuple):
    """A variable, its moments, and its own learning rate and decay."""

    variable: tf.Variable
    moment: tf.Variable
    square: tf.Variable
    rate: float | tf.Tensor
    decay: float


# These update a variable through its handle (in a replica: the handle of its own copy) with fused kernels: passes over
# memory limit the speed of an optimizer for a small BERT.


def _update(gradient: tf.Tensor, scale: tf.Tensor, slot: _Slot, powers: tuple[tf.Tensor, tf.Tensor]) -> None:
    variable, moment, square, rate, decay = slot
    if decay:
        tf.raw_ops.AssignVariableOp(resource=variable.handle, value=variable.read_value() * (1.0 - rate * decay))
    tf.raw_ops.ResourceApplyAdam(
        var=variable.handle,
        m=moment.handle,
        v=square.handle,
        beta1_power=powers[0],
        beta2_power=powers[1],
        lr=rate,
        beta1=_BETA_1,
        beta2=_BETA_2,
        epsilon=_EPSILON,
        grad=gradient * scale,
    )


def _update_rows(
    gradient: tf.IndexedSlices, scale: tf.Tensor, slot: _Slot, powers: tuple[tf.Tensor, tf.Tensor]
) -> None:
    variable, moment, square, rate, decay = slot
    rows, values = gradient.indices, gradient.values * scale

    def read(table: tf.Variable) -> tf.Tensor:
        return tf.raw_ops.ResourceGather(resource=table.handle, indices=rows, dtype=tf.float32)

    m = _BETA_1 * read(moment) + (1.0 - _BETA_1) * values
    v = _BETA_2 * read(square) + (1.0 - _BETA_2) * tf.square(values)
    tf.raw_ops.ResourceScatterUpdate(resource=moment.handle, indices=rows, updates=m)
    tf.raw_ops.ResourceScatterUpdate(resource=square.handle, indices=rows, updates=v)
    corrected = rate * tf.sqrt(1.0 - powers[1]) / (1.0 - powers[0])
    delta = corrected * m / (tf.sqrt(v) + _EPSILON) + rate * decay * read(variable)
    tf.raw_ops.ResourceScatterSub(resource=variable.handle, indices=rows, updates=delta)


def _merge_rows(gradient: Gradient) -> Gradient:
    """Sum the slices for the same row of an IndexedSlices gradient."""
    if not isinstance(gradient, tf.IndexedSlices):
        return gradient
    rows, positions = tf.unique(gradient.indices)
    values = tf.math.unsorted_segment_sum(gradient.values, positions, tf.size(rows))
    return tf.IndexedSlices(values, rows, gradient.dense_shape)
