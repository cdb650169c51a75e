"""Text to token ids to encoder inputs, through the TF-Hub preprocessor alone, in training and in serving."""

import functools
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from components.common.errors import BerthError

if TYPE_CHECKING:
    import numpy as np


class Preprocessor:
    """A TF-Hub text preprocessor, cut to `sequence_length` tokens; its methods work inside graphs too.

    A batch is packed to its own longest text, not to `sequence_length`. With `pairs` a row is two texts, packed as two
    segments; where both do not fit, they get room in turn, a token at a time.
    """

    def __init__(self, loaded: Any, sequence_length: int, handle: str, pairs: bool = False) -> None:
        if not hasattr(loaded, "tokenize") or not hasattr(loaded, "bert_pack_inputs"):
            raise BerthError(
                f"preprocessor: {handle!r} has no tokenize and bert_pack_inputs. Name the TF-Hub text preprocessor "
                "that the encoder's page gives as its match."
            )
        self.loaded = loaded
        self.handle = handle
        self.sequence_length = sequence_length
        self.pairs = pairs
        self.special_tokens = 3 if pairs else 2
        """[CLS], and a [SEP] after each text."""
        self.room = sequence_length - self.special_tokens
        """Tokens that the texts of a row may have together."""

    @functools.cached_property
    def compiled_tokenize(self) -> Any:
        """`tokenize`, compiled once for batches of any size."""
        import tensorflow as tf

        return tf.function(self.tokenize, input_signature=[tf.TensorSpec([None], tf.string)])

    def tokenize(self, texts: Any) -> Any:
        """Return ragged int32 [batch, (tokens)] without special tokens, cut to `room`; `texts` is string [batch]."""
        import tensorflow as tf

        tokens = self.loaded.tokenize(texts)
        if tokens.ragged_rank > 1:
            tokens = tokens.merge_dims(1, -1)
        return tf.cast(tokens, tf.int32)[:, : self.room]

    def pack(self, segments: Sequence[Any]) -> dict[str, Any]:
        """Return the encoder's inputs, each int32 [batch, longest]; a segment is ragged as `tokenize` gives it.

        Raises:
            BerthError: the preprocessor cannot pack as many segments.
        """
        import tensorflow as tf

        lengths = tf.add_n([segment.row_lengths() for segment in segments])
        longest = tf.reduce_max(tf.concat([lengths, [0]], 0))
        length = tf.minimum(tf.cast(longest, tf.int32), self.room) + self.special_tokens
        try:
            return dict(self.loaded.bert_pack_inputs(list(segments), seq_length=length))
        except ValueError:  # traced for [batch, (words), (pieces)] alone
            words = [tf.expand_dims(segment, -1) for segment in segments]
        try:
            return dict(self.loaded.bert_pack_inputs(words, seq_length=length))
        except ValueError as error:
            if not self.pairs:
                raise
            raise BerthError(
                f"preprocessor: {self.handle!r} cannot pack two texts. Name one whose bert_pack_inputs takes pairs."
            ) from error

    def __call__(self, *texts: Any) -> dict[str, Any]:
        """Return the encoder's inputs for texts (and their second texts), string [batch], padded to their longest."""
        return self.pack([self.tokenize(own) for own in texts])


def tokenize_all(preprocessor: Preprocessor, texts: Sequence[str], chunk: int = 4096) -> "list[np.ndarray]":
    """Return the token ids of each text, int32, without special tokens; each text is tokenised this once."""
    import numpy as np
    import tensorflow as tf

    rows: list[np.ndarray] = []
    for start in range(0, len(texts), chunk):
        ragged = preprocessor.compiled_tokenize(tf.constant(list(texts[start : start + chunk])))
        rows += np.split(ragged.values.numpy(), ragged.row_splits.numpy()[1:-1])
    return rows
