"""Instances for pre-training: pairs of segments for next sentence prediction, or packed text without it.

With NSP the rules are those published with BERT (Devlin et al. 2018, create_pretraining_data.py): a chunk of a
document is cut in two; half of the second parts are replaced by text of another document. Without NSP, whole sentences
fill an instance, and short documents share one (RoBERTa's FULL-SENTENCES, Liu et al. 2019).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from berth.errors import BerthError
from berth.pretraining import draws

Document = Sequence[np.ndarray]
"""The sentences of a document, each int32 [tokens], none of them empty."""
_FEW_NEIGHBOURS = 0.1
_NOTHING = np.zeros(0, np.int32)


@dataclass(frozen=True)
class Instance:
    """One instance, without special tokens.

    Example:
        >>> Instance(np.array([7, 8]), np.array([9]), is_next=True, document=0).width
        6
    """

    first: np.ndarray
    """int32 [tokens]."""
    second: np.ndarray
    """int32 [tokens]; empty without NSP."""
    is_next: bool
    """Whether the second segment follows the first in one document; True without NSP."""
    document: int
    """The place of the document that `first` is from, or begins in, among those that `instances` was given."""

    @property
    def width(self) -> int:
        """The tokens of the instance as an encoder sees them: with [CLS], and [SEP] after each segment."""
        return len(self.first) + len(self.second) + (3 if len(self.second) else 2)


def instances(
    documents: Sequence[Document],
    *,
    sequence_length: int,
    seed: int,
    epoch: int,
    nsp: bool,
    short: float = 0.1,
    separator: int | None = None,
) -> Iterator[Instance]:
    """Yield the instances of an epoch; documents come in random order, drawn from `seed` and `epoch` as all else.

    Args:
        documents: A TokenStore, or lists.
        sequence_length: The most tokens of an instance, special ones included.
        seed: The run's seed.
        epoch: 0-based; each epoch has other pairs.
        nsp: Whether an instance is two segments.
        short: With NSP, the share of documents with shorter instances: their length is drawn, from 2 tokens on.
        separator: Without NSP, the id of [SEP], which stands between documents that share an instance; None: they
            share none.

    Raises:
        BerthError: with NSP, there is only one document.

    Example:
        >>> document = [np.array([7, 8], np.int32), np.array([9], np.int32)]
        >>> [one.first.tolist() for one in instances([document], sequence_length=8, seed=0, epoch=0, nsp=False)]
        [[7, 8, 9]]
    """
    if nsp and len(documents) == 1:
        raise BerthError("nsp: the corpus has one document, and a pair needs a second. Set documents, or nsp: false.")
    order = draws.generator(draws.ORDER, seed=seed, epoch=epoch).permutation(len(documents))
    if not nsp:
        yield from _packed(documents, order, sequence_length - 2, separator)
        return
    for place in order:
        rng = draws.generator(draws.PAIRS, seed=seed, epoch=epoch, place=int(place))
        yield from _pairs(documents, int(place), sequence_length - 3, short, rng)


def check_neighbours(of_one_sentence: int, documents: int) -> str:
    """Return a warning if NSP finds few neighbours since many documents have one sentence; empty: it finds enough.

    Raises:
        BerthError: fewer than one document in ten has two sentences.

    Example:
        >>> check_neighbours(60, 100)
        'nsp: 60 of 100 documents have one sentence, so no neighbours: their pairs are all from two documents'
        >>> check_neighbours(10, 100)
        ''
    """
    share = of_one_sentence / max(documents, 1)
    found = f"nsp: {of_one_sentence:,} of {documents:,} documents have one sentence, so no neighbours"
    if share > 1 - _FEW_NEIGHBOURS:
        raise BerthError(f"{found}. Set nsp: false, or documents: file or blank_line if the texts belong together.")
    return f"{found}: their pairs are all from two documents" if share > 0.5 else ""


def _pairs(
    documents: Sequence[Document], place: int, room: int, short: float, rng: np.random.Generator
) -> Iterator[Instance]:
    """Yield the pairs that begin in the document at `place`, of `room` tokens at most."""
    document = documents[place]
    target = int(rng.integers(2, room + 1)) if rng.random() < short else room
    start = 0
    while start < len(document):
        end, length = start, 0
        while end < len(document) and length < target:
            length += len(document[end])
            end += 1
        cut = start + 1 if end - start == 1 else int(rng.integers(start + 1, end))
        first = np.concatenate(document[start:cut])
        is_next = end - start > 1 and rng.random() >= 0.5
        if is_next:
            second = np.concatenate(document[cut:end])
        else:
            second = _elsewhere(documents, place, target - len(first), rng)
            end = cut  # what the first segment left over begins the next pair
        yield Instance(*_cut_in_turn(first, second, room, rng), is_next, place)
        start = end


def _elsewhere(documents: Sequence[Document], place: int, target: int, rng: np.random.Generator) -> np.ndarray:
    """Return sentences from a random one on of a random document that is not the one at `place`."""
    other = int(rng.integers(len(documents) - 1))
    document = documents[other + (other >= place)]
    start = end = int(rng.integers(len(document)))
    length = 0
    while end == start or (end < len(document) and length < target):
        length += len(document[end])
        end += 1
    return np.concatenate(document[start:end])


def _cut_in_turn(
    first: np.ndarray, second: np.ndarray, room: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Return the segments cut to `room` together: token by token the longer one, at its front or back at random."""
    excess = max(0, len(first) + len(second) - room)
    # Taking from the longer one makes them equal before the other loses anything; of equal ones the second comes first.
    gap = len(first) - len(second)
    alone = min(excess, abs(gap))
    rest = excess - alone
    from_first = (alone if gap > 0 else 0) + rest // 2
    return _cut_ends(first, from_first, rng), _cut_ends(second, excess - from_first, rng)


def _cut_ends(segment: np.ndarray, excess: int, rng: np.random.Generator) -> np.ndarray:
    front = int(rng.binomial(excess, 0.5))
    return segment[front : len(segment) - (excess - front)]


def _packed(documents: Sequence[Document], order: np.ndarray, room: int, separator: int | None) -> Iterator[Instance]:
    """Yield whole sentences in instances of `room` tokens at most; only a sentence longer than that is cut."""
    parts: list[np.ndarray] = []
    length = begun = 0
    for place in order:
        if parts and separator is None:
            yield _joined(parts, begun)
            parts, length = [], 0
        between = _NOTHING if separator is None or not parts else np.array([separator], np.int32)
        for piece in _pieces(documents[place], room):
            if parts and length + len(between) + len(piece) > room:
                yield _joined(parts, begun)
                parts, length, between = [], 0, _NOTHING
            begun = begun if parts else int(place)
            parts += [between, piece]
            length += len(between) + len(piece)
            between = _NOTHING
    if parts:
        yield _joined(parts, begun)


def _pieces(document: Document, room: int) -> Iterator[np.ndarray]:
    return (sentence[start : start + room] for sentence in document for start in range(0, len(sentence), room))


def _joined(parts: list[np.ndarray], document: int) -> Instance:
    return Instance(np.concatenate(parts), _NOTHING, True, document)
