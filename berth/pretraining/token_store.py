"""Token ids of documents on the disk: written once, then read through the memory map, however many there are.

<store>/tokens.bin      int32: the ids of all sentences, one after the other
<store>/sentences.bin   int64 [sentences + 1]: where each sentence begins in tokens.bin
<store>/documents.bin   int64 [documents + 1]: where each document begins in sentences.bin
<store>/store.json      the counts; written last, so a store that has it is whole
"""

import itertools
import json
import shutil
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

import numpy as np

_COUNTS = "store.json"
_PART = 1 << 24


class TokenStore(Sequence[list[np.ndarray]]):
    """The documents of a store: each a list of sentences, int32 [tokens].

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     store = TokenStore.write(folder, [[[7, 8], [9]], [[5]]])
        >>> len(store), [sentence.tolist() for sentence in store[0]]
        (2, [[7, 8], [9]])
    """

    def __init__(self, folder: str | Path) -> None:
        folder = Path(folder)
        counts = json.loads((folder / _COUNTS).read_text(encoding="utf-8"))
        self.token_count: int = counts["tokens"]
        self.sentence_count: int = counts["sentences"]
        self._tokens = _mapped(folder / "tokens.bin", np.int32)
        self._sentences = _mapped(folder / "sentences.bin", np.int64)
        self._documents = _mapped(folder / "documents.bin", np.int64)

    @staticmethod
    def is_whole(folder: str | Path) -> bool:
        """Return whether `folder` holds a store that was written to its end."""
        return (Path(folder) / _COUNTS).is_file()

    @staticmethod
    def write(folder: str | Path, documents: Iterable[Iterable[Sequence[int] | np.ndarray]]) -> "TokenStore":
        """Write `documents` to `folder`, one at a time, and return the store; what was in the folder is removed.

        Sentences without a token, and documents without a sentence, are left out.
        """
        folder = Path(folder)
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        tokens = sentences = 0
        with (
            (folder / "tokens.bin").open("wb") as token_file,
            (folder / "sentences.bin").open("wb") as sentence_file,
            (folder / "documents.bin").open("wb") as document_file,
        ):
            _append(sentence_file, 0)
            _append(document_file, 0)
            for document in documents:
                before = sentences
                for sentence in document:
                    if len(sentence):
                        token_file.write(np.asarray(sentence, np.int32).tobytes())
                        tokens += len(sentence)
                        sentences += 1
                        _append(sentence_file, tokens)
                if sentences > before:
                    _append(document_file, sentences)
        (folder / _COUNTS).write_text(json.dumps({"tokens": tokens, "sentences": sentences}), encoding="utf-8")
        return TokenStore(folder)

    def __len__(self) -> int:
        return len(self._documents) - 1

    def __getitem__(self, place: int) -> list[np.ndarray]:  # type: ignore[override]
        if not 0 <= place < len(self):
            raise IndexError(place)
        first, last = self._documents[place], self._documents[place + 1]
        ends = self._sentences[first : last + 1]
        return [self._tokens[start:end] for start, end in itertools.pairwise(ends)]

    def __iter__(self) -> Iterator[list[np.ndarray]]:
        return (self[place] for place in range(len(self)))

    def count(self, token: int) -> int:
        """Return how often the id `token` comes; a part of the map is in memory at a time."""
        parts = range(0, self.token_count, _PART)
        return sum(int(np.count_nonzero(self._tokens[start : start + _PART] == token)) for start in parts)

    def sentence_counts(self) -> np.ndarray:
        """Return how many sentences each document has, int64 [documents]."""
        return np.diff(self._documents)


def _append(file: BinaryIO, number: int) -> None:
    file.write(np.int64(number).tobytes())


def _mapped(path: Path, type: type[np.generic]) -> np.ndarray:
    if not path.stat().st_size:  # an empty file cannot be mapped
        return np.zeros(0, type)
    return np.memmap(path, type, mode="r")
