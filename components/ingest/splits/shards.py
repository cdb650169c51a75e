"""A split's Parquet files, with a fixed number of rows each."""

from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from berth.data.dataset import LABEL

_IN_MEMORY = 1
"""Most shards that wait to be written, so that memory does not grow with the data."""


class Shards:
    """The Parquet files of a split, written in the background, each of `size` rows except the last."""

    def __init__(self, folder: Path, size: int, pool: ThreadPoolExecutor) -> None:
        self.folder, self.size, self.pool = folder, size, pool
        self.number = 0
        self.waiting = pa.table({})
        self.writing = deque[Future[None]]()
        folder.mkdir(parents=True)

    def add(self, rows: pa.Table) -> None:
        self.waiting = pa.concat_tables([self.waiting, rows]) if self.waiting.num_rows else rows
        while self.waiting.num_rows >= self.size:
            self._write(self.waiting.slice(0, self.size))
            self.waiting = self.waiting.slice(self.size)

    def close(self) -> None:
        if self.waiting.num_rows:
            self._write(self.waiting)
        for written in self.writing:
            written.result()

    def _write(self, shard: pa.Table) -> None:
        path = self.folder / f"part-{self.number:05}.parquet"
        self.number += 1
        shard = shard.combine_chunks()  # a shard's bytes do not depend on how its rows came
        self.writing.append(self.pool.submit(pq.write_table, shard, path, compression="zstd", use_dictionary=[LABEL]))
        if len(self.writing) > _IN_MEMORY:
            self.writing.popleft().result()
