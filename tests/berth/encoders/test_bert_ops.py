"""The parts of BERT's graph with a gradient by hand, against TensorFlow's own gradients of their definitions."""

import numpy as np
import pytest
import tensorflow as tf

from berth.encoders.builtin import bert_ops


def both(ours, definition, *inputs):
    """Return outputs and gradients, for a random upstream gradient, of `ours` and of `definition`."""
    upstream = tf.random.stateless_normal(inputs[0].shape, [1, 2])
    results = []
    for function in (ours, definition):
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            output = function(*inputs)
        results.append([output, *tape.gradient(output, inputs, output_gradients=upstream)])
    return zip(*results, strict=True)


def normal(shape, seed):
    return tf.random.stateless_normal(shape, [seed, 0])


def test_a_layer_norm_and_its_gradients():
    def definition(x, scale, offset):
        mean, variance = tf.nn.moments(x, [-1], keepdims=True)
        return (x - mean) / tf.sqrt(variance + 1e-12) * scale + offset

    inputs = 3.0 * normal([7, 48], 1) + 2.0, normal([48], 2), normal([48], 3)
    for ours, expected in both(lambda *own: bert_ops.layer_norm(*own, 1e-12), definition, *inputs):
        assert np.allclose(ours, expected, atol=2e-5)


def test_a_bias_and_its_gradients():
    for ours, expected in both(bert_ops.add_bias, tf.nn.bias_add, normal([300, 48], 1), normal([48], 2)):
        assert np.allclose(ours, expected, atol=2e-5)


def test_a_gelu_and_its_gradient_over_its_whole_range():
    x = tf.reshape(tf.linspace(-12.0, 12.0, 480), [10, 48])
    for ours, expected in both(bert_ops.gelu, lambda x: tf.nn.gelu(x, approximate=False), x):
        assert np.allclose(ours, expected, atol=2e-6)


@pytest.mark.parametrize("shape", [[300, 40], [3, 5, 7, 11]])
def test_dropout_zeroes_its_share_and_keeps_the_mean(shape):
    """Its gradient uses the same mask."""
    x = tf.ones(shape)
    dropout = bert_ops.Dropout(0.1)
    with tf.GradientTape() as tape:
        tape.watch(x)
        first = dropout(x)
    assert np.array_equal(tape.gradient(first, x), first)
    assert np.unique(first) == pytest.approx([0.0, 256 / 230])
    if shape[0] == 300:
        assert (first.numpy() == 0).mean() == pytest.approx(26 / 256, abs=0.01)
        assert first.numpy().mean() == pytest.approx(1.0, abs=0.01)
        second = dropout(x)
        both_dropped = ((first.numpy() == 0) & (second.numpy() == 0)).mean()
        assert both_dropped == pytest.approx((26 / 256) ** 2, abs=0.005)
