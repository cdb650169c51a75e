"""Rounds of pre-training: the trainer's epochs, each a part of the endless stream of instances.

A round has the rows between two evaluations, which may be a part of the corpus or several passes over it.
"""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

from berth.pretraining.batches import TokenRows
from berth.pretraining.sentence_pairs import Instance, instances
from berth.pretraining.settings import Pretraining
from berth.pretraining.token_store import TokenStore

_MOST_ROWS = 500_000
"""Of a round: what is in memory at a time."""
_SAMPLE = 1_000
"""Rows whose mean width tells how many make a batch."""
_EPOCHS = 1 << 16
"""Passes over the corpus at one sequence length, at most: no two lengths share an epoch's number, and so its draws."""


@dataclass(frozen=True)
class Round:
    """The rows of one round; `first` is the place of its first one in the stream of its stage."""

    stage: int
    length: int
    first: int
    rows: int


def plan(documents: TokenStore, settings: Pretraining, separator: int) -> list[Round]:
    """Return the rounds of a training; `separator` is the id of [SEP].

    Each sequence length is a stage, which gets its share of the tokens.
    """
    rounds: list[Round] = []
    for stage, (length, share) in enumerate(zip(settings.sequence_lengths, settings.shares_of_lengths, strict=True)):
        pass_over = partial(instances, documents, **_options(settings, length, separator), epoch=stage * _EPOCHS)
        rows_of_step = settings.accumulate * _rows_of_batch(settings, length, pass_over())
        if settings.steps:
            rows = share * settings.steps * rows_of_step
        else:
            rows = share * settings.epochs * sum(1 for _ in pass_over())
        rows = max(1, round(rows))
        # A round has a step at least: more evaluations than steps would make more, and smaller, steps.
        evaluations = min(round(settings.evaluations * share), round(rows / rows_of_step))
        parts = max(1, evaluations, -(-rows // _MOST_ROWS))
        bounds = [rows * part // parts for part in range(parts + 1)]
        rounds += [Round(stage, length, first, last - first) for first, last in itertools.pairwise(bounds)]
    return rounds


def _rows_of_batch(settings: Pretraining, length: int, some: Iterator[Instance]) -> float:
    """Return the rows of a usual batch: rows of short documents have fewer than `length` tokens."""
    if settings.batch_size:
        return settings.batch_size * settings.sequence_lengths[0] / length
    widths = [one.width for one in itertools.islice(some, _SAMPLE)]
    return settings.batch_tokens * len(widths) / sum(widths)


class Rounds:
    """The rows of each round.

    Args:
        documents: The train split.
        settings: How instances are made.
        separator: The id of [SEP].
    """

    def __init__(self, documents: TokenStore, settings: Pretraining, separator: int) -> None:
        self._documents, self._settings, self._separator = documents, settings, separator
        self.rounds = plan(documents, settings, separator)
        self._stage, self._done = -1, 0
        self._stream: Iterator[tuple[int, int, Instance]] = iter(())

    def rows(self, number: int) -> TokenRows:
        """Return the rows of the 1-based round `number`; in order it costs what they cost, else those before as well.

        A round has always the same rows.
        """
        own = self.rounds[number - 1]
        if (own.stage, own.first) != (self._stage, self._done):
            self._stream = self._endless(own.stage, own.length)
            next(itertools.islice(self._stream, own.first, own.first), None)
        self._stage, self._done = own.stage, own.first + own.rows
        return TokenRows.of(itertools.islice(self._stream, own.rows), self._settings.nsp)

    def _endless(self, stage: int, length: int) -> Iterator[tuple[int, int, Instance]]:
        options = _options(self._settings, length, self._separator)
        for epoch in itertools.count(stage * _EPOCHS):
            for place, one in enumerate(instances(self._documents, **options, epoch=epoch)):
                yield epoch, place, one


def _options(settings: Pretraining, length: int, separator: int) -> dict[str, Any]:
    own: dict[str, Any] = {"sequence_length": length, "seed": settings.seed, "nsp": settings.nsp}
    return own if settings.nsp else own | {"separator": separator}
