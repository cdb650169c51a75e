"""Batches of pre-training: rows of one or two segments, packed and masked."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Self, TypeAlias

import numpy as np
import tensorflow as tf

from berth.data.token_ids import TokenIds
from berth.encoders.adapter import INPUTS
from berth.pretraining import draws, masking
from berth.pretraining.sentence_pairs import Instance
from berth.pretraining.settings import Pretraining
from berth.pretraining.special_tokens import SpecialTokens

Array: TypeAlias = np.ndarray | tf.Tensor


class Batch(NamedTuple):
    """A batch, as arrays or tensors.

    Example:
        >>> batch = Batch.smallest()
        >>> sorted(batch.inputs()), batch.by_row(tf.constant([0.5])).numpy().tolist()
        (['input_mask', 'input_type_ids', 'input_word_ids'], [0.5])
    """

    ids: Array
    """int32 [rows, length], masked."""
    mask: Array
    """1 for a token and 0 for padding, int32 [rows, length]."""
    types: Array
    """0 for the first segment and 1 for the second, int32 [rows, length]."""
    positions: Array
    """The places of the tokens to predict in all rows one after the other, int32 [masked]."""
    labels: Array
    """Those tokens, int32 [masked]."""
    is_next: Array
    """1 where the second segment follows the first, else 0, int32 [rows]."""
    weights: Array
    """What a masked token of the row counts in the row's loss, float32 [rows]."""

    def inputs(self) -> dict[str, Array]:
        """Return the encoder's inputs by the names of INPUTS."""
        return dict(zip(INPUTS, (self.ids, self.mask, self.types), strict=True))

    def by_row(self, values: tf.Tensor) -> tf.Tensor:
        """Return the sum of `values`, float32 [masked], over each row, float32 [rows]."""
        rows, length = tf.unstack(tf.shape(self.ids))
        return tf.math.unsorted_segment_sum(values, self.positions // length, rows)

    @classmethod
    def signature(cls) -> Self:
        """Return the `tf.TypeSpec` of each part."""
        table, column = tf.TensorSpec([None, None], tf.int32), tf.TensorSpec([None], tf.int32)
        return cls(table, table, table, column, column, column, tf.TensorSpec([None], tf.float32))

    @classmethod
    def smallest(cls) -> Self:
        """Return a batch of one row of two tokens, one of them to predict."""
        table, column = tf.ones([1, 2], tf.int32), tf.zeros([1], tf.int32)
        return cls(table, table, tf.zeros_like(table), column, column, column, tf.ones([1]))


@dataclass(frozen=True)
class TokenRows:
    """Rows of pre-training, without special tokens and masks.

    Example:
        >>> instance = Instance(np.array([7, 8]), np.array([9]), is_next=True, document=0)
        >>> rows = TokenRows.of([(0, 0, instance)], nsp=True)
        >>> len(rows), rows.widths().tolist()
        (1, [6])
    """

    first: TokenIds
    second: TokenIds
    """Empty texts without next sentence prediction."""
    is_next: np.ndarray
    """int32 [rows]."""
    documents: np.ndarray
    """The document that `first` is from, int64 [rows]."""
    places: np.ndarray
    """What each row's masks are drawn by: its epoch and its place in it, int64 [rows, 2]."""
    nsp: bool

    @classmethod
    def of(cls, numbered: Iterable[tuple[int, int, Instance]], nsp: bool) -> Self:
        """Return the rows of instances, each with its epoch and its place in that."""
        own = list(numbered)
        return cls(
            TokenIds.of([one.first for _, _, one in own]),
            TokenIds.of([one.second for _, _, one in own]),
            np.array([one.is_next for _, _, one in own], np.int32),
            np.array([one.document for _, _, one in own], np.int64),
            np.array([(epoch, place) for epoch, place, _ in own], np.int64).reshape(-1, 2),
            nsp,
        )

    def __len__(self) -> int:
        return len(self.first)

    def widths(self) -> np.ndarray:
        """Return the tokens of each row, special ones included, int64 [rows]."""
        return self.first.lengths() + self.second.lengths() + (3 if self.nsp else 2)


def masked_tokens(widths: np.ndarray, probability: float) -> np.ndarray:
    """Return how many tokens are predicted of rows of `widths`, int64 [rows]; with whole words it may be fewer.

    Example:
        >>> masked_tokens(np.array([5, 128]), 0.15).tolist()
        [1, 19]
    """
    return np.maximum(1, np.round(widths * probability)).astype(np.int64)


class Masker:
    """Packs and masks rows.

    Args:
        settings: mlm_probability, whole_words and seed count.
        tokens: Of the preprocessor.
        multiple: What the length of a batch is rounded up to, at most to the longest of sequence_lengths.

    Example:
        >>> batch = Masker(settings, tokens).batch(rows, [0, 1])
        >>> batch.ids  # int32 [2, length]
    """

    def __init__(self, settings: Pretraining, tokens: SpecialTokens, multiple: int = 1) -> None:
        self.settings, self.tokens, self._multiple = settings, tokens, multiple

    def batch(self, rows: TokenRows, numbers: Sequence[int] | np.ndarray, weight: float = 1.0) -> Batch:
        """Return the rows with these `numbers` as NumPy arrays, padded to the longest of them.

        The same rows are always masked in the same way. A masked token of any of them counts `weight`.
        """
        packed = [self._packed(rows, int(number)) for number in numbers]
        masked = [self._masked(own, rows.places[number]) for (own, _), number in zip(packed, numbers, strict=True)]
        longest = max(len(own) for own, _ in packed)
        rounded = -(-longest // self._multiple) * self._multiple
        length = max(longest, min(rounded, max(self.settings.sequence_lengths)))
        ids, mask, types = (np.zeros((len(packed), length), np.int32) for _ in range(3))
        ids += self.tokens.pad
        for row, ((own, from_second), (hidden, _, _)) in enumerate(zip(packed, masked, strict=True)):
            ids[row, : len(own)], mask[row, : len(own)] = hidden, 1
            types[row, from_second : len(own)] = 1
        positions: list[np.ndarray] = [row * length + own for row, (_, own, _) in enumerate(masked)]
        return Batch(
            ids,
            mask,
            types,
            np.concatenate(positions).astype(np.int32),
            np.concatenate([labels for _, _, labels in masked]).astype(np.int32),
            rows.is_next[numbers].astype(np.int32),
            np.full(len(packed), weight, np.float32),
        )

    def _packed(self, rows: TokenRows, number: int) -> tuple[np.ndarray, int]:
        """Return a row's ids with special tokens, int32 [length], and where its second segment begins."""
        first, end = rows.first[number], np.array([self.tokens.end])
        own = [np.array([self.tokens.start]), first, end]
        if rows.nsp:
            own += [rows.second[number], end]
        return np.concatenate(own).astype(np.int32), len(first) + 2

    def _masked(self, ids: np.ndarray, place: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return the masked ids, [length], the masked places and what was there, [masked]."""
        epoch, number = int(place[0]), int(place[1])
        rng = draws.generator(draws.MASKS, seed=self.settings.seed, epoch=epoch, place=number)
        return masking.mask(
            ids,
            ~self.tokens.is_special[ids],
            rng,
            probability=self.settings.mlm_probability,
            mask_id=self.tokens.mask,
            vocabulary=len(self.tokens.is_special),
            whole_words=self.tokens.begins_word[ids] if self.settings.whole_words else None,
        )
