"""Filling in masked words: the likeliest words for each [MASK] of a text."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tensorflow as tf

from berth.encoders.adapter import positions
from berth.encoders.builtin import convert
from berth.encoders.builtin.checkpoint import is_checkpoint
from berth.encoders.loading import load
from berth.encoders.preprocessor import Preprocessor
from berth.errors import BerthError
from berth.pretraining.batches import Batch
from berth.pretraining.exported import ExportedEncoder, input_batch
from berth.pretraining.special_tokens import SpecialTokens, special_tokens

MASK = "[MASK]"
_LONGEST = 512

Logits = Callable[[Batch], np.ndarray]
"""Returns the logits of every word at the masked places, float32 [masked, words]."""


@dataclass(frozen=True)
class Filled:
    """A word piece that may stand at a [MASK]."""

    piece: str
    probability: float


class MaskFiller:
    """Fills in masked words with an encoder that has an `mlm` part.

    Args:
        encoder: Its folder, or that of a checkpoint of Hugging Face.
        preprocessor: Its folder; empty: the one in the encoder's folder.

    Raises:
        BerthError: the encoder cannot fill in words.

    Example:
        >>> [one.piece for one in MaskFiller(folder).fill("the [MASK] of the town")[0]]  # five words, likeliest first
    """

    def __init__(self, encoder: str | Path, preprocessor: str | Path = "") -> None:
        given = encoder
        if is_checkpoint(encoder):
            encoder, own = convert.handles(encoder, str(encoder))
            preprocessor = preprocessor or own
        folder = str(preprocessor or Path(encoder) / "preprocessor")
        if not Path(folder).is_dir():
            raise BerthError(f"{encoder} has no folder preprocessor. Name the encoder's preprocessor.")
        self._exported = ExportedEncoder(encoder, str(given))
        loaded = load("preprocessor", folder, folder)
        self._tokens = special_tokens(loaded, folder, folder)
        self._longest = min(_LONGEST, positions(self._exported.loaded) or _LONGEST)
        self._prepare = Preprocessor(loaded, _LONGEST, folder)

    def fill(self, text: str, count: int = 5) -> list[list[Filled]]:
        """Return the `count` likeliest word pieces for each [MASK] of `text`, the likeliest first.

        Raises:
            BerthError: the text has no [MASK], or is too long.
        """
        check_has_mask(text)
        tokens = self._tokens
        parts = [own.numpy() for own in self._prepare.tokenize(tf.constant(text.split(MASK)))]
        ids = [own for part in parts for own in (np.array([tokens.mask], np.int32), part)][1:]
        row = np.concatenate([[tokens.start], *ids, [tokens.end]]).astype(np.int32)
        if len(row) > self._longest:
            raise BerthError(f"the text has {len(row)} tokens. Shorten it to {self._longest}.")
        return likeliest(self._exported.words, tokens, [row], count)


def check_has_mask(text: str) -> None:
    """Raise BerthError where nothing is to be filled in.

    Example:
        >>> check_has_mask("the town")
        Traceback (most recent call last):
            ...
        berth.errors.BerthError: 'the town' has no [MASK]. Write [MASK] where a word is asked for.
    """
    if MASK not in text:
        raise BerthError(f"{text[:80]!r} has no {MASK}. Write {MASK} where a word is asked for.")


def likeliest(logits: Logits, tokens: SpecialTokens, rows: Sequence[np.ndarray], count: int) -> list[list[Filled]]:
    """Return the likeliest pieces for every [MASK] in `rows` of token ids, special tokens included, row by row.

    Special tokens, [UNK] and the ends of words (##ing) are left out.
    """
    masked = [np.flatnonzero(row == tokens.mask) for row in rows]
    found = np.array(logits(input_batch(list(rows), masked, tokens.pad)), np.float64)[:, : len(tokens.pieces)]
    found[:, tokens.is_special | ~tokens.begins_word] = -np.inf
    found[:, tokens.unknown] = -np.inf
    shares = np.exp(found - found.max(-1, keepdims=True))
    shares /= shares.sum(-1, keepdims=True)
    best = np.argsort(-shares, axis=-1, kind="stable")[:, :count]
    return [
        [Filled(tokens.pieces[piece], float(own[piece])) for piece in order]
        for own, order in zip(shares, best, strict=True)
    ]
