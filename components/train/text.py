"""Text to token ids to encoder inputs, through the TF-Hub preprocessor alone, in training and in serving."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from components.common.errors import BerthError

if TYPE_CHECKING:
    import numpy as np

SPECIAL_TOKENS = 2
"""[CLS] and [SEP], which packing puts around a text."""


class Preprocessor:
    """A TF-Hub text preprocessor, cut to `sequence_length` tokens; its methods work inside graphs too.

    A batch is packed to its own longest text, not to `sequence_length`.
    """

    def __init__(self, loaded: Any, sequence_length: int, handle: str) -> None:
        if not hasattr(loaded, "tokenize") or not hasattr(loaded, "bert_pack_inputs"):
            raise BerthError(
                f"preprocessor: {handle!r} has no tokenize and bert_pack_inputs. Name the TF-Hub text preprocessor "
                "that the encoder's page gives as its match."
            )
        self.loaded = loaded
        self.sequence_length = sequence_length

    def tokenize(self, texts: Any) -> Any:
        """Return ragged int32 [batch, (tokens)] without special tokens, cut to fit; `texts` is string [batch]."""
        import tensorflow as tf

        tokens = self.loaded.tokenize(texts)
        if tokens.ragged_rank > 1:
            tokens = tokens.merge_dims(1, -1)
        return tf.cast(tokens, tf.int32)[:, : self.sequence_length - SPECIAL_TOKENS]

    def pack(self, tokens: Any) -> dict[str, Any]:
        """Return the encoder's inputs, each int32 [batch, longest]; `tokens` is ragged as `tokenize` gives it."""
        import tensorflow as tf

        longest = tf.reduce_max(tf.concat([tokens.row_lengths(), [0]], 0))
        length = tf.cast(longest, tf.int32) + SPECIAL_TOKENS
        try:
            return dict(self.loaded.bert_pack_inputs([tokens], seq_length=length))
        except ValueError:  # traced for [batch, (words), (pieces)] alone
            return dict(self.loaded.bert_pack_inputs([tf.expand_dims(tokens, -1)], seq_length=length))

    def __call__(self, texts: Any) -> dict[str, Any]:
        """Return the encoder's inputs for `texts`, string [batch], padded to their own longest."""
        return self.pack(self.tokenize(texts))


def tokenize_all(preprocessor: Preprocessor, texts: Sequence[str], chunk: int = 4096) -> "list[np.ndarray]":
    """Return the token ids of each text, int32, without special tokens; each text is tokenised this once."""
    import numpy as np
    import tensorflow as tf

    tokenize = tf.function(preprocessor.tokenize, input_signature=[tf.TensorSpec([None], tf.string)])
    rows: list[np.ndarray] = []
    for start in range(0, len(texts), chunk):
        ragged = tokenize(tf.constant(list(texts[start : start + chunk])))
        rows += np.split(ragged.values.numpy(), ragged.row_splits.numpy()[1:-1])
    return rows
