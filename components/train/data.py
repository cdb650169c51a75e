"""Batches of token ids: texts of similar length together, each batch padded to its own longest."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

_WINDOW = 8
"""Batches' worth of shuffled texts that are sorted by length at a time. A larger window pads less, but where length
tells the class (spam is long) its batches hold one class each, and training suffers."""


@dataclass(frozen=True)
class Split:
    """A tokenised split: the token ids of each text, without special tokens, and its targets."""

    tokens: "list[np.ndarray]"
    targets: "np.ndarray"
    """The class indices, int32 [texts]; of a multi-label task multi-hot, int32 [texts, labels]."""
    pair_tokens: "list[np.ndarray] | None" = None
    """The token ids of each second text, where texts come in pairs."""

    def __len__(self) -> int:
        return len(self.tokens)

    def lengths(self) -> "np.ndarray":
        """Return how many tokens each row has, int64 [texts]; of a pair, both together."""
        import numpy as np

        lengths = np.array([len(row) for row in self.tokens])
        return lengths if self.pair_tokens is None else lengths + [len(row) for row in self.pair_tokens]

    def subset(self, rows: "np.ndarray") -> "Split":
        """Return the split of `rows` alone."""
        pairs = None if self.pair_tokens is None else [self.pair_tokens[row] for row in rows]
        return Split([self.tokens[row] for row in rows], self.targets[rows], pairs)


def batches(split: Split, batch_size: int, rng: "np.random.Generator | None" = None) -> "Iterator[np.ndarray]":
    """Yield the row numbers of each batch; every text comes once.

    With `rng`: texts are shuffled, sorted by length within windows of 8 batches, and the batches come in random order.
    Without: by length over the whole split, for evaluation.
    """
    import numpy as np

    lengths = split.lengths()
    if rng is None:
        order = np.argsort(lengths, kind="stable")
        yield from np.split(order, range(batch_size, len(order), batch_size))
        return
    shuffled = rng.permutation(len(lengths))
    made: list[np.ndarray] = []
    for start in range(0, len(shuffled), batch_size * _WINDOW):
        window = shuffled[start : start + batch_size * _WINDOW]
        window = window[np.argsort(lengths[window], kind="stable")]
        made += np.split(window, range(batch_size, len(window), batch_size))
    yield from (made[index] for index in rng.permutation(len(made)))


def segments(split: Split, rows: "Sequence[int] | np.ndarray") -> list[Any]:
    """Return the token ids of `rows`, and those of their second texts, as ragged int32 tensors [rows, (tokens)]."""
    tokens = [split.tokens] if split.pair_tokens is None else [split.tokens, split.pair_tokens]
    return [_ragged([own[row] for row in rows]) for own in tokens]


def _ragged(chosen: "list[np.ndarray]") -> Any:
    import numpy as np
    import tensorflow as tf

    values = np.concatenate(chosen).astype(np.int32)
    return tf.RaggedTensor.from_row_lengths(values, [len(row) for row in chosen], validate=False)
