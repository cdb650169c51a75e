"""Windows of long texts: every token is in one, and a short text is its own."""

import numpy as np
import pytest
import tensorflow as tf

from berth.data import windows
from berth.data.token_ids import TokenIds, TokenisedSplit
from berth.encoders.windows import cut, pool

ROOM = 8


@pytest.mark.parametrize("room", [1, 2, 3, 8, 30])
def test_every_token_of_a_long_text_is_in_a_window(room):
    lengths = [0, 1, room, room + 1, 2 * room, 100]
    texts = tf.ragged.constant([list(range(length)) for length in lengths], dtype=tf.int32)
    found, owners = cut(texts, room)
    assert np.bincount(owners, minlength=len(lengths)).tolist() == windows.count(np.array(lengths), room).tolist()
    for text, length in enumerate(lengths):
        own = [row for row, owner in zip(found.to_list(), owners.numpy(), strict=True) if owner == text]
        assert sorted({token for row in own for token in row}) == list(range(length))
        assert {len(row) for row in own} == {min(length, room)}


def test_windows_overlap_by_a_quarter_and_end_with_the_text():
    found, owners = cut(tf.ragged.constant([[7, 9], list(range(17))], dtype=tf.int32), ROOM)
    assert owners.numpy().tolist() == [0, 1, 1, 1]
    assert [row[0] for row in found.to_list()] == [7, 0, 6, 9]


def test_vector_of_one_window_is_the_texts_own():
    vectors = tf.random.stateless_normal([4, 5], [1, 2])
    owners = tf.constant([0, 1, 1, 2], tf.int64)
    for long_texts, pooled in (("windows", tf.reduce_mean), ("windows_max", tf.reduce_max)):
        found = pool(vectors, owners, tf.constant(3, tf.int64), long_texts).numpy()
        assert (found[[0, 2]] == vectors.numpy()[[0, 3]]).all()
        assert found[1] == pytest.approx(pooled(vectors[1:3], 0).numpy())


def test_width_of_a_long_text_counts_all_of_its_windows():
    split = TokenisedSplit(TokenIds.of([[1] * 8, [1] * 17]), np.zeros(2, np.int32))
    assert split.widths(ROOM, 2).tolist() == [10, 10]
    assert split.widths(ROOM, 2, in_windows=True).tolist() == [10, 30]
