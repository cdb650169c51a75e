"""Vectors of texts that may be longer than the encoder reads at once, in bounded memory."""

import copy
from collections.abc import Callable, Sequence

import numpy as np
import tensorflow as tf

from berth.encoders.preprocessor import Preprocessor
from berth.errors import BerthError
from berth.settings import TRUNCATE
from components.train.classifier import Classifier

TRAINED_TOKENS = 16_384
"""Tokens of long texts, with padding, that are differentiated together: as many as 32 texts of 512 tokens have."""
_TOKENS = 4_096
"""Tokens of long texts that are encoded together where nothing is trained."""


def check_long_texts(long_texts: str, pairs: bool, takes_texts: bool, truncate: str) -> None:
    """Raise BerthError if texts cannot be read in windows, as `long_texts` asks."""
    if long_texts == TRUNCATE:
        return
    where = f"long_texts: {long_texts}"
    if pairs:
        raise BerthError(f"{where} is for single texts, and text_pair_column makes pairs. Set long_texts: truncate.")
    if takes_texts:
        raise BerthError(f"{where}: the encoder takes texts of any length as a whole. Set long_texts: truncate.")
    if truncate != "head":
        raise BerthError(f"{where} cuts nothing off, so training.truncate has no use. Leave one of the two out.")


def vectors(
    classifier: Classifier,
    preprocessor: Preprocessor,
    segments: Sequence[tf.RaggedTensor],
    training: bool,
    length: int | None = None,
    multiple: int = 1,
) -> tf.Tensor:
    """Return one vector per text, float32 [batch, hidden], of ragged token ids as `preprocessor.tokenize` gives them.

    In training at most TRAINED_TOKENS have gradients, or those of one window per text: of more windows some are drawn
    at random, whose gradients count for the others too. `length` and `multiple` are those of Preprocessor.pack.
    """
    from berth.encoders.windows import cut, pool

    def encode(own: tf.RaggedTensor | None, training: bool) -> tf.Tensor:
        given = segments if own is None else [own]
        return classifier.vectors(preprocessor.pack(given, length, multiple), training)

    if preprocessor.long_texts == TRUNCATE:
        return encode(None, training)
    (texts,) = segments
    own, owners = cut(texts, preprocessor.room)
    rows, found = texts.nrows(), own.nrows()
    hidden = classifier.hidden
    if training:
        most = tf.maximum(rows, TRAINED_TOKENS // preprocessor.sequence_length)
        order = tf.range(found)
        order = tf.where(found > most, classifier.seeds.shuffled(order), order)
        drawn, others = tf.gather(own, order[:most]), tf.gather(own, order[most:])
        trained = _scaled(
            encode(drawn, True), tf.cast(found, tf.float32) / tf.cast(tf.shape(order[:most])[0], tf.float32)
        )
        still = tf.stop_gradient(_in_chunks(lambda part: encode(part, False), others, _chunk(preprocessor), hidden))
        every = tf.gather(tf.concat([trained, still], 0), tf.argsort(order))
    else:
        chunk = tf.where(found > rows, _chunk(preprocessor), tf.maximum(found, 1))
        every = _in_chunks(lambda part: encode(part, False), own, chunk, hidden)
    return pool(every, owners, rows, preprocessor.long_texts)


def needed(preprocessor: Preprocessor, widths: np.ndarray) -> Preprocessor:
    """Return what packs texts of `widths` tokens for training: without a long text, exactly what truncation would."""
    if widths.max(initial=0) > preprocessor.sequence_length:
        return preprocessor
    own = copy.copy(preprocessor)
    own.long_texts = TRUNCATE
    return own


def parts(rows: np.ndarray, widths: np.ndarray, sequence_length: int) -> list[np.ndarray]:
    """Return `rows` in parts of at most TRAINED_TOKENS, padding included; without a long text they are one part.

    Args:
        rows: Row numbers, int64 [rows].
        widths: Tokens of each row of the split as the encoder sees them, int64.
        sequence_length: The tokens of a window.
    """
    tokens = -(-widths[rows] // sequence_length) * sequence_length
    if not len(rows) or tokens.max() <= sequence_length:
        return [rows]
    ends, together = [], 0
    for place, own in enumerate(tokens.tolist()):
        if together and together + own > TRAINED_TOKENS:
            ends.append(place)
            together = 0
        together += own
    return np.split(rows, ends)


def _chunk(preprocessor: Preprocessor) -> tf.Tensor:
    return tf.constant(max(1, _TOKENS // preprocessor.sequence_length), tf.int64)


def _in_chunks(
    encode: Callable[[tf.RaggedTensor], tf.Tensor], own: tf.RaggedTensor, chunk: tf.Tensor, hidden: int
) -> tf.Tensor:
    """Return the vectors of the windows `own`, float32 [windows, hidden], encoded `chunk` at a time."""
    count = own.nrows()
    done = tf.TensorArray(tf.float32, size=0, dynamic_size=True, element_shape=[None, hidden], infer_shape=False)

    def work(start: tf.Tensor, number: tf.Tensor, done: tf.TensorArray) -> tuple[tf.Tensor, tf.Tensor, tf.TensorArray]:
        part = tf.gather(own, tf.range(start, tf.minimum(start + chunk, count)))
        return start + chunk, number + 1, done.write(number, tf.cast(encode(part), tf.float32))

    start = tf.zeros([], tf.int64)
    _, number, done = tf.while_loop(lambda start, *_: start < count, work, [start, 0, done], parallel_iterations=1)
    # Without windows there is nothing to join, and their number is 0.
    return tf.cond(number > 0, done.concat, lambda: tf.zeros([0, hidden]))


def _scaled(given: tf.Tensor, factor: tf.Tensor) -> tf.Tensor:
    """Return `given` as it is, whose gradient is multiplied by `factor`."""

    @tf.custom_gradient
    def identity(value: tf.Tensor) -> tuple[tf.Tensor, Callable[[tf.Tensor], tf.Tensor]]:
        return tf.identity(value), lambda gradient: gradient * factor

    return identity(given)
