"""Held-out documents: what an encoder with heads predicts of their masked tokens and sentence pairs."""

import itertools
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from berth import progress
from berth.models.saved_model import full_float32
from berth.pretraining.batches import Array, Batch, Masker, TokenRows
from berth.pretraining.sentence_pairs import instances
from berth.pretraining.settings import Pretraining
from berth.pretraining.token_store import TokenStore
from berth.training.batching import Batching, batches

_BATCH_TOKENS = 4096
_PROGRESS_SECONDS = 1.0
MOST_ROWS = 4_096
"""Of the held-out documents, in random order, that are evaluated."""

Judge = Callable[[Batch], tuple[Array, ...]]
"""Returns what PretrainingModel.losses does."""


@dataclass(frozen=True)
class Sums:
    """What was found, summed over each document; float64 [documents].

    Example:
        >>> none = np.zeros(2)
        >>> sums = Sums(np.array([6.0, 2.0]), np.array([3.0, 1.0]), np.array([2.0, 1.0]), none, none)
        >>> sums.metrics()["mlm_loss"], sums.metrics()["mlm_accuracy"]
        (2.0, 0.75)
    """

    loss: np.ndarray
    """Cross-entropy of the masked tokens, in nats."""
    masked: np.ndarray
    """Masked tokens."""
    hits: np.ndarray
    """Masked tokens that were predicted."""
    pairs: np.ndarray
    """Sentence pairs; 0 without next sentence prediction."""
    pair_hits: np.ndarray
    """Pairs whose relation was predicted."""

    def metrics(self) -> dict[str, float]:
        """Return mlm_loss, mlm_accuracy, pseudo_perplexity, and nsp_accuracy where there are pairs."""
        loss = float(self.loss.sum() / self.masked.sum())
        found = {
            "mlm_loss": loss,
            "mlm_accuracy": float(self.hits.sum() / self.masked.sum()),
            "pseudo_perplexity": float(np.exp(min(loss, 700.0))),
        }
        if self.pairs.sum():
            found["nsp_accuracy"] = float(self.pair_hits.sum() / self.pairs.sum())
        return found

    def write(self, path: str | Path) -> None:
        """Write them as Parquet, a row for each document."""
        pq.write_table(pa.table(vars(self)), path)

    @classmethod
    def read(cls, path: str | Path) -> "Sums":
        """Return what `write` wrote."""
        table = pq.read_table(path)
        return cls(**{name: table[name].to_numpy() for name in table.column_names})


def held_out_rows(documents: TokenStore, settings: Pretraining, separator: int, most: int = MOST_ROWS) -> TokenRows:
    """Return rows of the held-out documents, `most` at most; the same for every seed of the run."""
    options: dict[str, int] = {"sequence_length": settings.sequence_lengths[0], "seed": 0, "epoch": 0}
    if not settings.nsp:
        options["separator"] = separator
    made = enumerate(itertools.islice(instances(documents, nsp=settings.nsp, **options), most))
    return TokenRows.of(((0, place, one) for place, one in made), settings.nsp)


def judge(call: Judge, masker: Masker, rows: TokenRows, words: str = "") -> Sums:
    """Return what `call` finds in `rows`, summed by document; with `words` progress lines say so."""
    names = ("loss", "masked", "hits", "pairs", "pair_hits")
    found = {name: np.zeros(len(rows)) for name in names}
    done, reported = 0, time.monotonic()
    for numbers in batches(rows.widths(), Batching(1, _BATCH_TOKENS)):
        batch = masker.batch(rows, numbers)
        with full_float32():
            losses, hits, _, pair_hits = (np.asarray(own, np.float64) for own in call(batch))
        row_of = numbers[batch.positions // batch.ids.shape[1]]
        np.add.at(found["loss"], row_of, losses)
        np.add.at(found["masked"], row_of, 1)
        np.add.at(found["hits"], row_of, hits)
        found["pairs"][numbers] = float(rows.nsp)
        found["pair_hits"][numbers] = pair_hits
        done += len(numbers)
        if words and time.monotonic() - reported > _PROGRESS_SECONDS:
            reported = time.monotonic()
            progress.report(done, len(rows), words)
    documents, owner = np.unique(rows.documents, return_inverse=True)
    return Sums(**{name: np.bincount(owner, values, len(documents)) for name, values in found.items()})
