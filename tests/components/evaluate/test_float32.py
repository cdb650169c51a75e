"""Full float32 in a user's own process."""

import tensorflow as tf

from berth.models.pyfunc import PyFunc
from berth.models.saved_model import ServedClassifier


def test_a_pyfunc_predicts_without_tf32_and_leaves_the_setting():
    seen = []

    def serve(text):
        seen.append(tf.config.experimental.tensor_float_32_execution_enabled())
        return {"probabilities": tf.tile([[0.4, 0.6]], [tf.size(text), 1])}

    before = tf.config.experimental.tensor_float_32_execution_enabled()
    try:
        for own in (True, False):
            tf.config.experimental.enable_tensor_float_32_execution(own)
            PyFunc(ServedClassifier(["a", "b"], serve)).predict(["x"])
            assert tf.config.experimental.tensor_float_32_execution_enabled() == own
    finally:
        tf.config.experimental.enable_tensor_float_32_execution(before)
    assert seen == [False, False]
