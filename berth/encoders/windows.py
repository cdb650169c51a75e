"""Windows of texts longer than an encoder reads at once, and one vector per text from those of its windows."""

import tensorflow as tf

from berth.data import windows


def cut(texts: tf.RaggedTensor, room: int) -> tuple[tf.RaggedTensor, tf.Tensor]:
    """Return the windows of `texts`, ragged [windows, (tokens)], and which text each is of, int64 [windows].

    A text of at most `room` tokens is one window. Those of a longer text have `room` tokens each: a quarter of them is
    the end of the window before, of the last one more, since it ends where the text does.

    Example:
        >>> windows, owners = cut(tf.ragged.constant([[1, 2, 3, 4, 5], [6]]), 4)
        >>> windows.to_list(), owners.numpy().tolist()
        ([[1, 2, 3, 4], [2, 3, 4, 5], [6]], [0, 0, 1])
    """
    lengths = texts.row_lengths()
    counts = windows.count(lengths, room)
    owners = tf.repeat(tf.range(texts.nrows()), counts)
    places = tf.ragged.range(counts).flat_values * windows.step(room)
    own = tf.gather(lengths, owners)
    begins = tf.minimum(places, tf.maximum(own - room, 0))
    first = tf.gather(texts.row_starts(), owners) + begins
    tokens = tf.ragged.range(first, first + tf.minimum(own, room))
    return tokens.with_flat_values(tf.gather(texts.flat_values, tokens.flat_values)), owners


def pool(vectors: tf.Tensor, owners: tf.Tensor, texts: tf.Tensor, long_texts: str) -> tf.Tensor:
    """Return one vector per text, [texts, hidden]; that of a single window is the window's own.

    Args:
        vectors: Of the windows, float32 [windows, hidden].
        owners: Which text each is of, int64 [windows].
        texts: How many there are, an integer.
        long_texts: `windows`: the mean. `windows_max`: the largest of each of the numbers.

    Example:
        >>> vectors = tf.constant([[1.0, 4.0], [3.0, 2.0], [5.0, 6.0]])
        >>> pool(vectors, tf.constant([0, 0, 1]), 2, "windows").numpy().tolist()
        [[2.0, 3.0], [5.0, 6.0]]
    """
    if long_texts == "windows_max":
        return tf.math.unsorted_segment_max(vectors, owners, texts)
    return tf.math.unsorted_segment_mean(vectors, owners, texts)
