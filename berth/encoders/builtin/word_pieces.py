"""BERT's tokenizer as ops of a graph, with the token ids of Hugging Face's: see berth.encoders.builtin.characters."""

import itertools

import tensorflow as tf
import tensorflow_text as tf_text

from berth.encoders.builtin import characters
from berth.encoders.builtin.tokenisation import Tokenisation

_LONGEST = 100
"""Characters of a word; a longer one is [UNK]."""
_CONTROL = "\x01"
"""A character that is left out."""


class WordPieces(tf.Module):
    """Turns texts into token ids.

    Example:
        >>> WordPieces(Tokenisation(("[UNK]", "a", "##b"), lower=True, strip_accents=True))(tf.constant(["Àb [UNK]"]))
        <tf.RaggedTensor [[1, 2, 0]]>
    """

    def __init__(self, tokenisation: Tokenisation) -> None:
        super().__init__()
        table = characters.table(tokenisation)
        self._blocks = tf.constant(table.blocks)
        self._starts, self._values = tf.constant(table.starts), tf.constant(table.values)
        stands_for = {token: chr(characters.SENTINEL + place) for place, token in enumerate(tokenisation.special)}
        self._special = sorted(stands_for.items(), key=lambda own: -len(own[0]))
        self._tokenizer = tf_text.FastWordpieceTokenizer(
            _unique([stands_for.get(piece, piece) for piece in tokenisation.pieces]),
            max_bytes_per_word=4 * _LONGEST,
            token_out_type=tf.int32,
            unknown_token=stands_for["[UNK]"],
            no_pretokenization=True,
        )

    def __call__(self, texts: tf.Tensor) -> tf.RaggedTensor:
        """Return ragged int32 [batch, (tokens)]; `texts` are strings [batch]."""
        sentinels = (
            f"[{_escaped(chr(characters.SENTINEL))}-{_escaped(chr(characters.SENTINEL + characters.BLOCK - 1))}]"
        )
        texts = tf.strings.regex_replace(texts, sentinels, _CONTROL)
        for token, sentinel in self._special:
            texts = tf.strings.regex_replace(texts, _escaped(token), sentinel)
        points = tf.strings.unicode_decode(texts, "UTF-8")
        places = tf.gather(self._blocks, points.values // characters.BLOCK) + points.values % characters.BLOCK
        table = tf.RaggedTensor.from_row_splits(self._values, self._starts, validate=False)
        became = tf.gather(table, places)
        splits = tf.gather(became.row_splits, points.row_splits)
        texts = tf.strings.unicode_encode(
            tf.RaggedTensor.from_row_splits(became.values, splits, validate=False), "UTF-8"
        )
        words = tf.strings.split(texts)
        is_long = tf.strings.length(words.values, unit="UTF8_CHAR") > _LONGEST
        pieces = self._tokenizer.tokenize(tf.where(is_long, characters.UNKNOWN, words.values))
        return words.with_values(pieces).merge_dims(1, -1)


def _escaped(text: str) -> str:
    """Return the regular expression of RE2 that matches `text`."""
    return "".join(f"\\x{{{ord(char):X}}}" for char in text)


def _unique(pieces: list[str]) -> list[str]:
    """Return `pieces` with fillers for what no word can be: none, UNKNOWN, and all but the last of several alike."""
    last = {piece: place for place, piece in enumerate(pieces) if piece not in ("", characters.UNKNOWN)}
    fillers = (f"{characters.UNKNOWN}{number}" for number in itertools.count())
    return [piece if last.get(piece) == place else next(fillers) for place, piece in enumerate(pieces)]
