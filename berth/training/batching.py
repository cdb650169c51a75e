"""Batches of rows: texts of similar length together, each batch padded to its own longest."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

_WINDOW = 64
"""Batches' worth of shuffled rows that are sorted by length at a time; a smaller data set is sorted as a whole. Larger
windows pad less, and where length tells the class (spam is long) make batches of one class each, which learn worse."""


@dataclass(frozen=True)
class Batching:
    """How rows become batches.

    Example:
        >>> Batching(32).padded(17), Batching(32, multiple=16).padded(17)
        (17, 32)
    """

    size: int
    """Rows of a batch."""
    max_tokens: int = 0
    """Tokens of a batch, padding included, in place of `size`; 0: `size` counts."""
    by_length: bool = True
    """Whether rows of similar length come together."""
    multiple: int = 1
    """What widths are rounded up to; above 1, batches are not cut either. A GPU's step costs the same for a few tokens
    more, and its kernels are chosen, or compiled, for each new shape."""
    step_tokens: int = 64
    """What a step costs that does not depend on its batch, the optimizer above all: as much as about so many tokens."""

    window: int = 0
    """Tokens of a window: a wider row is several, which are padded to that and not to the widest row; 0: none is."""

    def padded(self, width: int) -> int:
        """Return the tokens that a row of `width` tokens has in a batch of its own."""
        return -(-width // self.multiple) * self.multiple


def batches(widths: np.ndarray, batching: Batching, rng: np.random.Generator | None = None) -> Iterator[np.ndarray]:
    """Yield the row numbers of each batch, int64 [rows]; every row comes once.

    With `rng`: rows are shuffled, sorted by length within windows of 64 batches, rows of equal length in random
    order, and the batches come in random order. A batch is cut in two where lengths jump, as they do among the longest
    texts, if the padding that is saved is more than a step costs. Without: by length over the whole split, for
    evaluation.

    Args:
        widths: The tokens of each row as the encoder sees them, int64 [rows].
        batching: How rows become batches.
        rng: What they are shuffled by.

    Example:
        >>> [rows.tolist() for rows in batches(np.array([9, 3, 8, 3]), Batching(2))]
        [[1, 3], [2, 0]]
    """
    if rng is None:
        yield from _cut(np.argsort(widths, kind="stable"), widths, batching)
        return
    order = rng.permutation(len(widths))
    if not batching.by_length:
        yield from _cut(order, widths, batching)
        return
    if batching.multiple > 1:
        widths = -(-widths // batching.multiple) * batching.multiple
    size = max(1, round(batching.max_tokens / widths.mean())) if batching.max_tokens else batching.size
    made: list[np.ndarray] = []
    for start in range(0, len(order), size * _WINDOW):
        window = order[start : start + size * _WINDOW]
        for batch in _cut(window[np.argsort(widths[window], kind="stable")], widths, batching):
            made += (
                _parted(batch, _padded_together(widths, batching), batching.step_tokens)
                if batching.multiple == 1
                else [batch]
            )
    yield from (made[index] for index in rng.permutation(len(made)))


def _cut(order: np.ndarray, widths: np.ndarray, batching: Batching) -> list[np.ndarray]:
    """Return `order` cut into batches of `size` rows, or of as many as max_tokens allows (always at least one)."""
    if not batching.max_tokens:
        return np.split(order, range(batching.size, len(order), batching.size))
    made, start, longest = [], 0, 0
    for position, width in enumerate(widths[order]):
        longest = max(longest, int(width))
        if position > start and longest * (position + 1 - start) > batching.max_tokens:
            made.append(order[start:position])
            start, longest = position, int(width)
    return [*made, order[start:]]


def padding(widths: np.ndarray, batching: Batching, padded_width: int = 0) -> int:
    """Return the tokens of a batch of rows of these `widths`, padding included; `padded_width` is TrainingTask's.

    Example:
        >>> padding(np.array([9, 3]), Batching(2))
        18
    """
    longest = padded_width or batching.padded(int(_padded_together(widths, batching).max()))
    return int(np.maximum(widths, longest).sum())


def _padded_together(widths: np.ndarray, batching: Batching) -> np.ndarray:
    """Return `widths` as they decide what a batch is padded to."""
    return np.minimum(widths, batching.window) if batching.window else widths


def _parted(batch: np.ndarray, widths: np.ndarray, least: int) -> list[np.ndarray]:
    """Return `batch`, sorted by length, in parts: cut where that saves most padding, while that is over `least`."""
    own = widths[batch]
    saved = np.arange(1, len(own)) * (own[-1] - own[:-1])
    if not saved.size or saved.max() <= least:
        return [batch]
    cut = int(saved.argmax()) + 1
    return _parted(batch[:cut], widths, least) + _parted(batch[cut:], widths, least)
