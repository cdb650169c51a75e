"""AdamW for BERT (Loshchilov and Hutter 2019), with lazy rows for embeddings, and the rate's warm-up and decay."""

from collections.abc import Sequence
from typing import Any

_BETA_1, _BETA_2, _EPSILON = 0.9, 0.999, 1e-6
CLIP_NORM = 1.0
"""The global norm that gradients are clipped to, as in BERT's own fine-tuning."""


def warmup_then_linear_decay(step: Any, steps: int, peak: float, warmup_fraction: float) -> Any:
    """Return the learning rate of 0-based `step`: up from 0 to `peak`, then down in a line to 0 after `steps`."""
    import tensorflow as tf

    warmup = max(1.0, warmup_fraction * steps)
    done = tf.cast(step, tf.float32) + 1.0
    falling = (steps + 1.0 - done) / max(1.0, steps + 1.0 - warmup)
    return peak * tf.minimum(done / warmup, falling)


class AdamW:
    """AdamW whose moments of an embedding row change only in steps that touch the row, and decay with it.

    A word table is half of a small BERT and a batch touches few of its rows: updating the others is most of the cost of
    a dense optimizer. Weight decay is decoupled, and spares biases and layer norms, the variables of one dimension.
    """

    def __init__(self, variables: Sequence[Any], weight_decay: float) -> None:
        import tensorflow as tf

        self.weight_decay = weight_decay
        self.moments = [tf.Variable(tf.zeros_like(variable), trainable=False) for variable in variables]
        self.squares = [tf.Variable(tf.zeros_like(variable), trainable=False) for variable in variables]
        self.step = tf.Variable(0, dtype=tf.int64, trainable=False)

    def apply(self, gradients: Sequence[Any], variables: Sequence[Any], learning_rate: Any) -> Any:
        """Update `variables`, in the order that they were given in; return the gradients' norm before clipping."""
        import tensorflow as tf

        gradients = [_merge_rows(gradient) for gradient in gradients]
        norm = tf.linalg.global_norm(gradients)
        scale = CLIP_NORM / tf.maximum(norm, CLIP_NORM)
        done = tf.cast(self.step.assign_add(1), tf.float32)
        correction = tf.sqrt(1.0 - tf.pow(_BETA_2, done)) / (1.0 - tf.pow(_BETA_1, done))
        for gradient, variable, moment, square in zip(gradients, variables, self.moments, self.squares, strict=True):
            if gradient is None:
                continue
            decay = learning_rate * self.weight_decay if len(variable.shape) > 1 else 0.0
            if isinstance(gradient, tf.IndexedSlices):
                rows, values = gradient.indices, gradient.values * scale
                m = _BETA_1 * tf.gather(moment, rows) + (1.0 - _BETA_1) * values
                v = _BETA_2 * tf.gather(square, rows) + (1.0 - _BETA_2) * tf.square(values)
                moment.scatter_update(tf.IndexedSlices(m, rows))
                square.scatter_update(tf.IndexedSlices(v, rows))
                delta = learning_rate * correction * m / (tf.sqrt(v) + _EPSILON) + decay * tf.gather(variable, rows)
                variable.scatter_sub(tf.IndexedSlices(delta, rows))
            else:
                values = gradient * scale
                m = moment.assign(_BETA_1 * moment + (1.0 - _BETA_1) * values)
                v = square.assign(_BETA_2 * square + (1.0 - _BETA_2) * tf.square(values))
                variable.assign_sub(learning_rate * correction * m / (tf.sqrt(v) + _EPSILON) + decay * variable)
        return norm


def _merge_rows(gradient: Any) -> Any:
    """Sum the slices of an IndexedSlices gradient that are for the same row."""
    import tensorflow as tf

    if not isinstance(gradient, tf.IndexedSlices):
        return gradient
    rows, positions = tf.unique(gradient.indices)
    values = tf.math.unsorted_segment_sum(gradient.values, positions, tf.size(rows))
    return tf.IndexedSlices(values, rows, gradient.dense_shape)
