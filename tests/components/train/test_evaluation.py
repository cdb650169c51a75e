"""Predictions of the model in training: their number format, and the batches that they are made in."""

import numpy as np
import tensorflow as tf

from berth.data.token_ids import TokenIds, TokenisedSplit
from components.train import evaluation


class Room:
    """What a Preprocessor says of lengths."""

    room, special_tokens = 126, 2


def split_of(lengths: list[int]) -> TokenisedSplit:
    tokens = TokenIds.of([np.full(length, length, np.int32) for length in lengths])
    return TokenisedSplit(tokens, np.zeros(len(lengths), np.int32))


def test_predictions_are_in_full_float32_and_training_as_before():
    """TensorFlow allows TF32 unless it is told not to."""
    seen = []

    def call(rows):
        seen.append(tf.config.experimental.tensor_float_32_execution_enabled())
        return [tf.constant(rows)]

    evaluation.by_batches(call, Room, split_of([3, 1, 2]), "predicting")
    assert seen == [False]
    assert tf.config.experimental.tensor_float_32_execution_enabled()
