"""A split's Parquet files, with a fixed number of rows each."""

from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from berth.data.dataset import LABEL

_IN_MEMORY = 2
"""Most shards that wait to be written, so that memory does not grow with the data."""


class Shards:
    """The Parquet files of a split, written in the background, each of `size` rows except the last."""

    def __init__(self, folder: Path, size: int, pool: ThreadPoolExecutor) -> None:
        self.folder, self.size, self.pool = folder, size, pool
        self.number = 0
        self.waiting: list[pa.RecordBatch] = []
        self.writing = deque[Future[None]]()
        folder.mkdir(parents=True)

    def add(self, batch: pa.RecordBatch) -> None:
        self.waiting.append(batch)
        while sum(one.num_rows for one in self.waiting) >= self.size:
            table = pa.Table.from_batches(self.waiting)
            self._write(table.slice(0, self.size))
            self.waiting = table.slice(self.size).to_batches()

    def close(self) -> None:
        if self.waiting:
            self._write(pa.Table.from_batches(self.waiting))
        for written in self.writing:
            written.result()

    def _write(self, shard: pa.Table) -> None:
        path = self.folder / f"part-{self.number:05}.parquet"
        self.number += 1
        self.writing.append(self.pool.submit(pq.write_table, shard, path, compression="zstd", use_dictionary=[LABEL]))
        if len(self.writing) > _IN_MEMORY:
            self.writing.popleft().result()
