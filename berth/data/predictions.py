"""The file of the trained model's predictions on its own data: train writes it, evaluate compares the export with it.

Columns: split (`validation`, `train` or `edge`), row (int64, its place in the split as the dataset has it; of `edge`
in EDGE_CASES), probabilities (list of float32, in the order of the labels), and loss (float32, the text's own
cross-entropy; null of `edge`).
"""

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Self

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

MAX_TRAIN_ROWS = 20_000
"""Predicting a text costs about a third of a step of training on it; mistakes in labels show in a sample too."""

_SCHEMA = pa.schema(
    {"split": pa.string(), "row": pa.int64(), "probabilities": pa.list_(pa.float32()), "loss": pa.float32()}
)


@dataclass(frozen=True)
class SplitPredictions:
    """Predictions of rows of one split."""

    rows: np.ndarray
    """int64 [rows]: their places in the split's own order."""
    probabilities: np.ndarray
    """float32 [rows, labels]."""
    losses: np.ndarray
    """float32 [rows]: each text's own cross-entropy, in nats; NaN where a text has no label."""


@dataclass(frozen=True)
class TrainingPredictions:
    """The predictions that train keeps of the model that it exports.

    Example:
        >>> TrainingPredictions.read("predictions.parquet").validation.probabilities.shape
        (557, 2)
    """

    validation: SplitPredictions
    """Of the whole validation split."""
    train: SplitPredictions
    """Of the train split, or of a sample of it: `sample_rows`."""
    edge: SplitPredictions
    """Of EDGE_CASES, which have no label."""

    def write(self, path: str | Path) -> None:
        """Write the Parquet file `path`, and its folder where there is none."""
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        with pq.ParquetWriter(path, _SCHEMA) as writer:
            for split in fields(self):
                writer.write_table(_table(split.name, getattr(self, split.name)))

    @classmethod
    def read(cls, path: str | Path) -> Self:
        """Read the Parquet file `path`; a split that it lacks has no rows."""
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
    """Return the row numbers, rising, int64, of a train split of `rows` that are predicted: all, or MAX_TRAIN_ROWS.

    They are drawn by `seed` from a generator of their own, so that the sample does not change how a model is trained.
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
