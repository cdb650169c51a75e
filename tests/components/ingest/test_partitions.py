"""Rows sorted a partition at a time."""

import numpy as np
import pyarrow as pa
import pytest

from components.ingest.splits.partitions import ID, PLACE, Partitions


@pytest.mark.parametrize("bits", [0, 3, 20])
def test_partitions_give_the_order_of_one_sort(tmp_path, bits):
    """Whatever their number; rows of one key are in the order of their ids, and a file is gone once it was read."""
    drawn = np.random.default_rng(1)
    rank, key = drawn.integers(0, 3, 5000, np.uint64), drawn.integers(0, 2**62, 5000, np.uint64)
    key[::7] = key[0]
    ids = drawn.integers(0, 2**64, 5000, np.uint64)
    place = (rank << np.uint64(62)) | key
    rows = pa.record_batch({"text": [f"text {number}" for number in range(5000)], PLACE: place, ID: ids})
    partitions = Partitions(tmp_path / "parts", rows.schema, bits)
    for start in range(0, 5000, 600):
        partitions.add(rows.slice(start, 600))
    found = [(split, text) for split, part in partitions.ordered() for text in part["text"].to_pylist()]
    assert found == [(int(rank[row]), f"text {row}") for row in np.lexsort([ids, place])]
    assert not list((tmp_path / "parts").iterdir())
