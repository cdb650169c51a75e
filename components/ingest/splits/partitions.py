"""Rows in the order of their keys, sorted a partition at a time, so that memory does not grow with the data.

Keys are hashes, so their leading bits make partitions of about the same size; a sort of all rows that does not fit into
memory would write them to the disk several times.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

PLACE, ID = "berth_place", "berth_id"
"""The last two columns of rows, UBIGINT: the split's rank, 2 bits, and the key; what decides between equal ones."""
_MOST_BITS = 8
"""At most 256 partitions of a split: each has an open file."""


class Partitions:
    """Rows in files in `folder`, by split and the first `bits` bits of their keys."""

    def __init__(self, folder: Path, schema: pa.Schema, bits: int) -> None:
        self.folder, self.schema = folder, schema
        self.bits = min(bits, _MOST_BITS)
        self.writers: dict[int, pa.ipc.RecordBatchStreamWriter] = {}
        folder.mkdir()

    def add(self, batch: pa.RecordBatch) -> None:
        numbers = (batch.column(PLACE).to_numpy() >> np.uint64(62 - self.bits)).astype(np.int64)
        rows = np.argsort(numbers, kind="stable")
        batch = batch.take(pa.array(rows))
        found, starts = np.unique(numbers[rows], return_index=True)
        for number, start, end in zip(found.tolist(), starts, [*starts[1:], len(rows)], strict=True):
            if number not in self.writers:
                self.writers[number] = pa.ipc.new_stream(str(self._file(number)), self.schema)
            self.writers[number].write_batch(batch.slice(start, end - start))

    def ordered(self) -> Iterator[tuple[int, pa.Table]]:
        """Yield each partition's rows, in order, without their last two columns, with the rank of their split."""
        for writer in self.writers.values():
            writer.close()
        for number in sorted(self.writers):
            file = self._file(number)
            with pa.ipc.open_stream(pa.OSFile(str(file))) as stream:
                rows = stream.read_all()
            file.unlink()
            order = pc.sort_indices(rows, [(PLACE, "ascending"), (ID, "ascending")])
            pa.default_memory_pool().release_unused()
            yield number >> self.bits, rows.drop_columns([PLACE, ID]).take(order)

    def _file(self, number: int) -> Path:
        return self.folder / f"{number}.arrows"
