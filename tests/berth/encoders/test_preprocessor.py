"""Truncation of texts that are longer than the sequence length."""

import numpy as np
import pytest
import tensorflow as tf

from berth.encoders import loading
from berth.encoders.preprocessor import Preprocessor, tokenize_all

LENGTH = 12
WORDS = ["call", "free", "to", "you", "the", "now", "for", "me", "and", "is", "in", "my", "on", "have", "will", "get"]


@pytest.fixture(scope="module")
def loaded(tiny):
    return loading.load("preprocessor", tiny.preprocessor, "tiny")


@pytest.mark.parametrize(
    ("truncate", "kept"),
    [("head", WORDS[:10]), ("tail", WORDS[-10:]), ("head_tail", WORDS[:2] + WORDS[-8:])],
)
def test_long_text_keeps_the_requested_part(loaded, truncate, kept):
    """The same part is kept in training and in serving."""
    prepare = Preprocessor(loaded, LENGTH, "tiny", truncate=truncate)
    texts = [" ".join(WORDS), "call me", "", " ".join(WORDS[:10])]
    tokens, whole = tokenize_all(prepare, texts)
    expected, _ = tokenize_all(Preprocessor(loaded, 99, "tiny"), [" ".join(kept), *texts[1:]])
    assert whole.tolist() == [16, 2, 0, 10]
    assert [tokens[row].tolist() for row in range(4)] == [expected[row].tolist() for row in range(4)]
    served = prepare(tf.constant(texts))["input_word_ids"].numpy()
    assert served.shape == (4, LENGTH)
    assert served[0, 1:-1].tolist() == expected[0].tolist()


@pytest.mark.parametrize("truncate", ["tail", "head_tail"])
def test_of_a_pair_a_short_text_leaves_its_room_to_the_other(loaded, truncate):
    prepare = Preprocessor(loaded, LENGTH, "tiny", pairs=True, truncate=truncate)
    long, short = " ".join(WORDS), "call me"
    in_graph = tf.function(prepare.__call__)  # as the exported model calls it
    inputs = in_graph(tf.constant([long, long, short]), tf.constant([long, short, long]))
    mask, types = inputs["input_mask"].numpy(), inputs["input_type_ids"].numpy()
    assert mask.sum(1).tolist() == [LENGTH] * 3
    # 9 tokens for both: the first text gets the odd one; [SEP] of the second text is of type 1.
    assert types.sum(1).tolist() == [4 + 1, 2 + 1, 7 + 1]
    ids = inputs["input_word_ids"].numpy()
    words, _ = tokenize_all(Preprocessor(loaded, 99, "tiny"), [long])
    last = ids[0][mask[0] == 1][-2]
    assert last == words[0][-1]


def test_rows_of_nothing_are_cut_to_nothing(loaded):
    prepare = Preprocessor(loaded, LENGTH, "tiny", truncate="head_tail")
    assert len(tokenize_all(prepare, [])[0]) == 0
    assert prepare(tf.constant([], tf.string))["input_word_ids"].shape == (0, 2)
    assert np.array_equal(prepare(tf.constant([""]))["input_mask"].numpy(), [[1, 1]])
