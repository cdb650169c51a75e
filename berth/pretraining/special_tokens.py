"""Special tokens of a preprocessor, and which of its pieces begin a word."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tensorflow as tf

from berth.encoders.adapter import LoadedModel
from berth.encoders.wordpiece import find_vocabulary
from berth.errors import BerthError

_CONTINUATION = "##"


@dataclass(frozen=True)
class SpecialTokens:
    """Token ids by what they are for, and what is known of every piece of the vocabulary."""

    start: int
    """[CLS]."""
    end: int
    """[SEP]."""
    pad: int
    mask: int
    unknown: int
    pieces: list[str]
    is_special: np.ndarray
    """bool [vocabulary]: never masked."""
    begins_word: np.ndarray
    """bool [vocabulary]."""


def special_tokens(loaded: LoadedModel, folder: str | Path, handle: str) -> SpecialTokens:
    """Return the special tokens of the `loaded` preprocessor of `folder`; `handle` is the user's name for it.

    [CLS], [SEP] and padding are what bert_pack_inputs puts around two segments; the others are found by name.

    Raises:
        BerthError: its WordPiece vocabulary is not among its assets, or has no [MASK].
    """
    vocabulary = find_vocabulary("", str(folder))
    if vocabulary is None or "[MASK]" not in vocabulary.pieces:
        raise BerthError(
            f"preprocessor: {handle!r} has no WordPiece vocabulary with [MASK] among its assets, and masks need it. "
            "Name a preprocessor of BERT."
        )
    pieces = vocabulary.pieces
    word = tf.RaggedTensor.from_row_splits(tf.constant([[0]], tf.int32)[0], [0, 1])
    try:
        packed = loaded.bert_pack_inputs([word, word], seq_length=6)
    except ValueError:  # traced only for [batch, (words), (pieces)]
        packed = loaded.bert_pack_inputs([tf.expand_dims(word, -1)] * 2, seq_length=6)
    start, _, end, _, _, pad = packed["input_word_ids"].numpy()[0].tolist()
    mask, unknown = pieces.index("[MASK]"), pieces.index("[UNK]")
    is_special = np.zeros(len(pieces), bool)
    is_special[[start, end, pad, mask]] = True
    begins_word = np.array([not piece.startswith(_CONTINUATION) for piece in pieces])
    return SpecialTokens(start, end, pad, mask, unknown, pieces, is_special, begins_word)
