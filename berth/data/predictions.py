"""What the model says in training of its own data, in a file: what evaluate holds the exported model against.

Columns: split (`validation`, `train` or `edge`), row (int64, its place in the split as the dataset has it; of `edge`
in EDGE_CASES), probabilities (list of float32, in the order of the labels), and loss (float32, the text's own
cross-entropy; null of `edge`).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np


MAX_TRAIN_ROWS = 20_000
"""Predicting a text costs about a third of a step of training on it; mistakes in labels show in a sample too."""


@dataclass(frozen=True)
class Predictions:
    """What the model says of `rows` of a split."""

    rows: "np.ndarray"
    """int64 [rows]."""
    probabilities: "np.ndarray"
    """float32 [rows, classes]."""
    losses: "np.ndarray | None"
    """float32 [rows]; None where the texts have no label."""


def sample_rows(rows: int, seed: int) -> "np.ndarray":
    """Return the row numbers that are predicted of a train split of `rows`, rising: all, or MAX_TRAIN_ROWS by `seed`.

    They are drawn from a generator of their own, so that what they are does not change how a model is trained.
    """
    import numpy as np

    if rows <= MAX_TRAIN_ROWS:
        return np.arange(rows)
    return np.sort(np.random.default_rng(seed).choice(rows, MAX_TRAIN_ROWS, replace=False))


def write(predictions: Mapping[str, Predictions], path: str | Path) -> None:
    """Write `predictions`, by split, to the Parquet file `path`."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = pa.schema(
        {"split": pa.string(), "row": pa.int64(), "probabilities": pa.list_(pa.float32()), "loss": pa.float32()}
    )
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    with pq.ParquetWriter(path, schema) as writer:
        for split, own in predictions.items():
            texts, classes = own.probabilities.shape
            offsets = pa.array(np.arange(texts + 1) * classes, pa.int32())
            lists = pa.ListArray.from_arrays(offsets, pa.array(own.probabilities.reshape(-1), pa.float32()))
            losses = pa.nulls(texts, pa.float32()) if own.losses is None else pa.array(own.losses, pa.float32())
            columns = [pa.array([split] * texts, pa.string()), pa.array(own.rows, pa.int64()), lists, losses]
            writer.write_table(pa.Table.from_arrays(columns, schema=schema))


@dataclass(frozen=True)
class TrainingPredictions:
    """What the model said in training of some rows of a split."""

    row: "np.ndarray"
    """int64 [rows]: their places in the split's own order."""
    probabilities: "np.ndarray"
    """float32 [rows, labels]."""
    loss: "np.ndarray"
    """float32 [rows]: each text's own cross-entropy."""


def read_predictions(path: str | Path) -> dict[str, TrainingPredictions]:
    """Return what train noted in its file of predictions, by split; `edge` is EDGE_CASES."""
    import numpy as np
    import pyarrow.parquet as pq

    table = pq.read_table(path).combine_chunks()
    split = table["split"].to_numpy(zero_copy_only=False)
    numbers = [table[name].to_numpy() for name in ("row", "loss")]
    lists = table["probabilities"].chunk(0) if len(table) else None
    flat = lists.flatten().to_numpy() if lists is not None else np.zeros(0, np.float32)
    probabilities = flat.reshape(len(table), -1)
    return {
        name: TrainingPredictions(numbers[0][split == name], probabilities[split == name], numbers[1][split == name])
        for name in ("edge", "validation", "train")
    }
