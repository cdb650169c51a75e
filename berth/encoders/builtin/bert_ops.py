"""Bias, layer norm, GELU and dropout for BERT, faster on a CPU than TensorFlow's: fewer passes over memory.

The numbers are the same. Written with plain ops, they take half of a training step, as each pass over a matmul's result
costs time. Each function here has a gradient written by hand, which reuses what the forward pass has computed.
"""

from collections.abc import Callable

import tensorflow as tf

_ROOT_HALF, _LOG_ROOT_2_PI = 0.5**0.5, 0.9189385332046727
_WithGradient = tuple[tf.Tensor, Callable[[tf.Tensor], tf.Tensor | tuple[tf.Tensor, ...]]]
"""What tf.custom_gradient expects: a result, and the function from its gradient to those of the arguments."""


def layer_norm(x: tf.Tensor, scale: tf.Variable, offset: tf.Variable, epsilon: float) -> tf.Tensor:
    """Return the layer norm of `x`, float32 [rows, hidden], over its last axis (Ba et al. 2016).

    Example:
        >>> scale, offset = tf.Variable([1.0, 1.0]), tf.Variable([0.5, 0.5])
        >>> layer_norm(tf.constant([[3.0, 7.0]]), scale, offset, 1e-12).numpy().round(3).tolist()
        [[-0.5, 1.5]]
    """

    @tf.custom_gradient
    def normalise(x: tf.Tensor, scale: tf.Tensor, offset: tf.Tensor) -> _WithGradient:
        centred = x - tf.reduce_mean(x, -1, keepdims=True)
        inverse = tf.math.rsqrt(tf.reduce_mean(tf.square(centred), -1, keepdims=True) + epsilon)
        normal = centred * inverse

        def gradient(upstream: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
            product = upstream * normal
            scaled = upstream * scale
            mean = tf.reduce_mean(scaled, -1, keepdims=True)
            projection = tf.reduce_mean(scaled * normal, -1, keepdims=True)
            own = (scaled - mean - normal * projection) * inverse
            return own, _sum_of_rows(product), _sum_of_rows(upstream)

        return normal * scale + offset, gradient

    return normalise(x, tf.convert_to_tensor(scale), tf.convert_to_tensor(offset))


def add_bias(x: tf.Tensor, bias: tf.Variable) -> tf.Tensor:
    """Return `x`, float32 [rows, size], with `bias`, [size], added to each row.

    The bias's gradient, a sum over the rows, is a product with ones, which takes a tenth of TensorFlow's BiasAddGrad.

    Example:
        >>> add_bias(tf.constant([[1.0, 2.0], [3.0, 4.0]]), tf.Variable([10.0, 20.0])).numpy().tolist()
        [[11.0, 22.0], [13.0, 24.0]]
    """

    @tf.custom_gradient
    def add(x: tf.Tensor, bias: tf.Tensor) -> _WithGradient:
        def gradient(upstream: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            return upstream, _sum_of_rows(upstream)

        return tf.nn.bias_add(x, bias), gradient

    return add(x, tf.convert_to_tensor(bias))


def gelu(x: tf.Tensor) -> tf.Tensor:
    """Return x times the normal distribution's share below x, the exact GELU (Hendrycks and Gimpel 2016).

    float32 of any shape.

    Example:
        >>> gelu(tf.constant([-1.0, 0.0, 1.0])).numpy().astype(float).round(3).tolist()
        [-0.159, 0.0, 0.841]
    """

    @tf.custom_gradient
    def exact(x: tf.Tensor) -> _WithGradient:
        share = 0.5 + 0.5 * tf.math.erf(x * _ROOT_HALF)  # erfc takes three times as long

        def gradient(upstream: tf.Tensor) -> tf.Tensor:
            return upstream * (share + x * tf.exp(-0.5 * tf.square(x) - _LOG_ROOT_2_PI))

        return x * share, gradient

    return exact(x)


ACTIVATIONS: dict[str, Callable[[tf.Tensor], tf.Tensor]] = {
    "gelu": gelu,
    "gelu_tanh": lambda x: tf.nn.gelu(x, approximate=True),
    "quick_gelu": lambda x: x * tf.sigmoid(1.702 * x),
    "relu": tf.nn.relu,
    "silu": lambda x: x * tf.sigmoid(x),
}
"""What stands between the two dense layers of a block."""


class Dropout:
    """The dropouts of one step: each call has its own mask, and all masks come from one random number.

    One random byte decides about each value, so `rate` is rounded to a 256th. The number comes from an ordinary
    RandomUniform, so code that seeds or replaces the random ops of TF-Hub encoders works on these masks too.

    Example:
        >>> values = Dropout(0.5)(tf.ones([1000]))
        >>> sorted(set(values.numpy().tolist()))
        [0.0, 2.0]
    """

    def __init__(self, rate: float, seed: int = 1) -> None:
        self._dropped = round(rate * 256)
        self._calls = 0
        self._key = tf.cast(tf.random.uniform([1], seed=seed) * 2**24, tf.uint64)

    def __call__(self, x: tf.Tensor) -> tf.Tensor:
        """Return `x` with some values set to zero and the others scaled up, so that its mean stays the same."""
        self._calls += 1
        size = tf.size(x)
        draws = tf.raw_ops.StatelessRandomUniformFullIntV2(
            shape=[(size + 3) // 4],
            key=self._key,
            counter=tf.constant([0, self._calls], tf.uint64),
            alg=1,  # Philox
            dtype=tf.uint32,
        )
        draws = tf.reshape(tf.reshape(tf.bitcast(draws, tf.uint8), [-1])[:size], tf.shape(x))
        kept = tf.cast(draws >= tf.constant(self._dropped, tf.uint8), tf.float32) * (256 / (256 - self._dropped))

        @tf.custom_gradient
        def masked(x: tf.Tensor) -> _WithGradient:
            return x * kept, lambda upstream: upstream * kept

        return masked(x)


def _sum_of_rows(x: tf.Tensor) -> tf.Tensor:
    return tf.matmul(tf.ones([1, tf.shape(x)[0]]), x)[0]
