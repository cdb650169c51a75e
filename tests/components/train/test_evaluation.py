"""Predictions of the model in training: their number format, and the batches that they are made in."""

import numpy as np
import pytest
import tensorflow as tf

from berth.data.token_ids import TokenIds, TokenisedSplit
from berth.errors import BerthError
from components.train import evaluation


class Room:
    """What a Preprocessor says of lengths."""

    room, special_tokens = 126, 2

    @classmethod
    def widths(cls, split):
        return split.widths(cls.room, cls.special_tokens)


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


def test_memory_that_runs_out_halves_the_batches_of_predictions(capsys):
    tried = []

    def call(rows):
        tried.append(len(rows))
        if len(rows) > 20:
            raise tf.errors.ResourceExhaustedError(None, None, "OOM when allocating tensor")
        return [tf.constant(rows)]

    (found,) = evaluation.by_batches(call, Room, split_of([10] * 100), "predicting")
    assert found.tolist() == list(range(100))
    assert tried[:3] == [64, 32, 16]
    assert max(tried[2:]) == 16
    assert "memory ran out in predicting 64 texts of 12 tokens; going on with 384 tokens" in capsys.readouterr().out


def test_batches_of_long_texts_are_small():
    sizes = []

    def call(rows):
        sizes.append(len(rows))
        return [tf.constant(rows)]

    Long = type("Long", (Room,), {"room": 1022})
    (found,) = evaluation.by_batches(call, Long, split_of([1022] * 20 + [3] * 70), "predicting")
    assert found.tolist() == list(range(90))
    assert sizes[0] == 64
    assert sum(size <= 8 for size in sizes) == len(sizes) - 1


def test_one_text_that_needs_more_than_all_memory_is_one_line():
    def call(rows):
        raise tf.errors.ResourceExhaustedError(None, None, "OOM when allocating tensor")

    with pytest.raises(BerthError, match=r"predicting a text of 12 tokens\. Try a smaller sequence_length"):
        evaluation.by_batches(call, Room, split_of([10]), "predicting")
