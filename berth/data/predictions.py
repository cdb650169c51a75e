"""The file of the trained model's predictions on its own data: train writes it, evaluate compares the export with it.

Columns: split (`validation`, `train` or `edge`), row (int64, its place in the split as the dataset has it; for
`edge`, in EDGE_CASES), probabilities (list of float32, in the order of the labels), and loss (float32, the text's own
cross-entropy; null for `edge`).
"""

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Self

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

MAX_TRAIN_ROWS = 20_000
"""Predicting a text takes about a third of the time of training on it; a sample also shows mistakes in labels."""

_SCHEMA = pa.schema(
    {"split": pa.string(), "row": pa.int64(), "probabilities": pa.list_(pa.float32()), "loss": pa.float32()}
)


@dataclass(frozen=True)
class SplitPredictions:
    """Predictions for rows of one split."""

    rows: np.ndarray
    """int64 [rows]: their places in the split's own order."""
    probabilities: np.ndarray
    """float32 [rows, labels]."""
    losses: np.ndarray
    """float32 [rows]: each text's own cross-entropy, in nats; NaN where a text has no label."""


@dataclass(frozen=True)
class TrainingPredictions:
    """The predictions that train saves for the model that it exports.

    Example:
        >>> probabilities = TrainingPredictions.read("predictions.parquet").validation.probabilities
    """

    validation: SplitPredictions
    """For the whole validation split."""
    train: SplitPredictions
    """For the train split, or a sample of it: `sample_rows`."""
    edge: SplitPredictions
    """For EDGE_CASES, which have no label."""

    def write(self, path: str | Path) -> None:
        """Write the Parquet file `path`, and make its folder if it does not exist."""
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        with pq.ParquetWriter(path, _SCHEMA) as writer:
            for split in fields(self):
                writer.write_table(_table(split.name, getattr(self, split.name)))

    @classmethod
    def read(cls, path: str | Path) -> Self:
        """Read the Parquet file `path`; a split that is not in the file has no rows."""
        table = pq.read_table(path).combine_chunks()
        splits = table["split"].to_numpy(zero_copy_only=False)
        rows, losses = (table[name].to_numpy() for name in ("row", "loss"))
        lists = table["probabilities"].chunk(0) if len(table) else None
        flat = lists.flatten().to_numpy() if lists is not None else np.zeros(0, np.float32)
        probabilities = flat.reshape(len(table), -1)

        def of(split: str) -> SplitPredictions:
            own = splits == split
            return SplitPredictions(rows[own], probabilities[own], losses[own])

        return cls(**{split.name: of(split.name) for split in fields(cls)})


def sample_rows(rows: int, seed: int) -> np.ndarray:
    """Return the rows to predict of a train split of `rows`: all, or MAX_TRAIN_ROWS of them; int64, sorted.

    They are drawn with `seed` from a separate generator, so that the sample does not change how a model is trained.

    Example:
        >>> sample_rows(4, seed=0).tolist(), len(sample_rows(30_000, seed=0))
        ([0, 1, 2, 3], 20000)
    """
    if rows <= MAX_TRAIN_ROWS:
        return np.arange(rows)
    return np.sort(np.random.default_rng(seed).choice(rows, MAX_TRAIN_ROWS, replace=False))


def _table(split: str, predictions: SplitPredictions) -> pa.Table:
    texts, labels = predictions.probabilities.shape
    offsets = pa.array(np.arange(texts + 1) * labels, pa.int32())
    lists = pa.ListArray.from_arrays(offsets, pa.array(predictions.probabilities.reshape(-1), pa.float32()))
    losses = pa.array(predictions.losses, pa.float32(), from_pandas=True)  # NaN becomes null
    columns = [pa.array([split] * texts, pa.string()), pa.array(predictions.rows, pa.int64()), lists, losses]
    return pa.Table.from_arrays(columns, schema=_SCHEMA)
