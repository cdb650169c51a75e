"""Queries over long texts, a few MB of them at a time.

DuckDB takes 2,048 rows at once, and a function of them makes another copy: with whole books that is gigabytes.
"""

import itertools
import os
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

_ROWS = 1_000
"""Rows per batch from DuckDB: one may be long."""
CHARACTERS = 2_000_000
"""Of a part; a longer text is a part of its own."""


def in_parts(connection: duckdb.DuckDBPyConnection, query: str, work: str) -> Iterator[tuple[Any, ...]]:
    """Yield the rows that the query `work` makes of each part of the rows of `query`, in their order.

    `query` has a column text; `work` reads the table `part`. Several parts are worked on at a time.
    """
    workers = os.cpu_count() or 1
    waiting = deque[Future[list[tuple[Any, ...]]]]()
    with ThreadPoolExecutor(workers) as pool:
        for batch in connection.cursor().sql(query).to_arrow_reader(_ROWS):
            for part in _parts(batch):
                waiting.append(pool.submit(_rows, connection.cursor(), part, work))
                while len(waiting) > workers:
                    yield from waiting.popleft().result()
        while waiting:
            yield from waiting.popleft().result()


def _parts(batch: pa.RecordBatch) -> Iterator[pa.Table]:
    ends = pc.cumulative_sum(pc.utf8_length(batch["text"])).to_numpy(zero_copy_only=False) // CHARACTERS
    starts = [0, *(place for place in range(1, len(ends)) if ends[place] > ends[place - 1]), len(ends)]
    for start, end in itertools.pairwise(starts):
        yield pa.Table.from_batches([batch.slice(start, end - start)])


def _rows(cursor: duckdb.DuckDBPyConnection, part: pa.Table, work: str) -> list[tuple[Any, ...]]:
    with cursor:
        cursor.register("part", part)
        return cursor.execute(work).fetchall()
