"""Token ids of many texts, in two flat arrays."""

import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING

import numpy as np

from berth.data import windows

if TYPE_CHECKING:
    import tensorflow as tf


@dataclass(frozen=True)
class TokenIds:
    """The token ids of many texts, without special tokens, one text after the other.

    Example:
        >>> ids = TokenIds.of([[2023, 2003], [], [4937]])
        >>> len(ids), ids.lengths().tolist(), ids[0].tolist()
        (3, [2, 0, 1], [2023, 2003])
    """

    values: np.ndarray
    """int32 [tokens]."""
    splits: np.ndarray
    """int64 [texts + 1]: text `i` is values[splits[i] : splits[i + 1]]."""

    @classmethod
    def of(cls, rows: Sequence[Sequence[int] | np.ndarray]) -> "TokenIds":
        """Return the token ids of `rows`, each the ids of one text, integers [tokens]."""
        values = np.concatenate([np.asarray(row, np.int32) for row in rows]) if rows else np.zeros(0, np.int32)
        return cls(values, np.cumsum([0, *map(len, rows)], dtype=np.int64))

    @classmethod
    def on_disk(cls, chunks: Iterable[tuple[np.ndarray, np.ndarray]]) -> "TokenIds":
        """Return the token ids of `chunks`, kept in a file.

        A chunk has the ids of some texts, one after the other, integers [tokens], and how many each has, [texts].
        The file is in the folder of temporary files (TMPDIR) and has no name: it is gone with the process. Memory holds
        what is used of it, and the system takes that back when it needs it.

        Example:
            >>> chunks = [(np.array([5, 6, 7]), np.array([2, 1])), (np.array([8]), np.array([1]))]
            >>> ids = TokenIds.on_disk(chunks)
            >>> ids[0].tolist(), ids.lengths().tolist()
            ([5, 6], [2, 1, 1])
        """
        with tempfile.TemporaryFile() as values, tempfile.TemporaryFile() as splits:
            end = np.zeros(1, np.int64)
            splits.write(end.tobytes())
            for ids, lengths in chunks:
                values.write(ids.astype(np.int32, copy=False).tobytes())
                ends = end[-1] + np.cumsum(lengths, dtype=np.int64)
                splits.write(ends.tobytes())
                end = ends if len(ends) else end
            return cls(_mapped(values, np.int32), _mapped(splits, np.int64))

    def __len__(self) -> int:
        return len(self.splits) - 1

    def __getitem__(self, row: int) -> np.ndarray:
        return self.values[self.splits[row] : self.splits[row + 1]]

    def lengths(self) -> np.ndarray:
        """Return how many tokens each text has, int64 [texts]."""
        return self.splits[1:] - self.splits[:-1]

    def subset(self, rows: Sequence[int] | np.ndarray) -> "TokenIds":
        """Return the token ids of only the texts `rows`, row numbers, in that order."""
        return TokenIds.of([self[row] for row in rows])


@dataclass(frozen=True)
class TokenisedSplit:
    """A tokenised split: the token ids of each text and its targets.

    Example:
        >>> split = TokenisedSplit(TokenIds.of([[5, 6, 7], [8]]), np.array([0, 1]))
        >>> split.widths(room=2, special_tokens=2).tolist(), split.subset([1]).targets.tolist()
        ([4, 3], [1])
    """

    tokens: TokenIds
    targets: np.ndarray
    """The class indices, int32 [texts]; for a multi-label task multi-hot, int32 [texts, labels]."""
    pair_tokens: TokenIds | None = None
    """The token ids of each second text, where texts come in pairs."""

    def __len__(self) -> int:
        return len(self.tokens)

    def lengths(self) -> np.ndarray:
        """Return how many tokens each row has, int64 [texts]; for a pair, both texts together."""
        lengths = self.tokens.lengths()
        return lengths if self.pair_tokens is None else lengths + self.pair_tokens.lengths()

    def widths(self, room: int, special_tokens: int, in_windows: bool = False) -> np.ndarray:
        """Return the tokens of each row as an encoder sees them, int64 [texts].

        Args:
            room: Tokens that a row is cut to, without special tokens.
            special_tokens: Tokens of a row in addition to those of its texts.
            in_windows: Whether a longer row is not cut but read in windows, whose tokens are added up.
        """
        lengths = self.lengths()
        more = (windows.count(lengths, room) - 1) * (room + special_tokens) if in_windows else 0
        return np.minimum(lengths, room) + special_tokens + more

    def subset(self, rows: Sequence[int] | np.ndarray) -> "TokenisedSplit":
        """Return the split with only `rows`, row numbers, in that order."""
        pairs = None if self.pair_tokens is None else self.pair_tokens.subset(rows)
        return TokenisedSplit(self.tokens.subset(rows), self.targets[rows], pairs)


def segments(split: TokenisedSplit, rows: Sequence[int] | np.ndarray) -> "list[tf.RaggedTensor]":
    """Return the token ids of `rows`, and those of their second texts, as ragged int32 tensors [rows, (tokens)].

    Example:
        >>> split = TokenisedSplit(TokenIds.of([[5, 6, 7], [8]]), np.array([0, 1]))
        >>> [tokens.to_list() for tokens in segments(split, [1, 0])]
        [[[8], [5, 6, 7]]]
    """
    tokens = [split.tokens] if split.pair_tokens is None else [split.tokens, split.pair_tokens]
    return [_ragged(own.subset(rows)) for own in tokens]


def _mapped(file: IO[bytes], dtype: type) -> np.ndarray:
    """Return the contents of `file` as an array that stays on the disk; of an empty file, an empty array."""
    file.flush()
    return np.memmap(file, dtype, "r") if file.tell() else np.zeros(0, dtype)


def _ragged(tokens: TokenIds) -> "tf.RaggedTensor":
    import tensorflow as tf

    return tf.RaggedTensor.from_row_splits(tokens.values, tokens.splits, validate=False)
