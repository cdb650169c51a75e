"""Write the splits and the rejected rows as Parquet."""

import itertools
import math
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import duckdb

from berth.data.dataset import LABEL, PAIR, SPLITS, TEXT, split_dir
from components.ingest.database import at_rest, parts
from components.ingest.rows.cleaning import CHANGES
from components.ingest.rows.encoding import UNDECODABLE
from components.ingest.rows.sql import BETWEEN, literal, slices
from components.ingest.settings import IngestSettings
from components.ingest.sources.files import Rows
from components.ingest.splits.assignment import NOT_SAMPLED
from components.ingest.splits.partitions import ID, PLACE, Partitions
from components.ingest.splits.shards import Shards

_BATCH = 20_000
"""Rows per batch from DuckDB."""
_PARTS = 32
"""A partition has about this part of the memory, or less: it is in memory twice while it is sorted."""
_RANKS = "CASE split WHEN 'train' THEN 0 WHEN 'validation' THEN 1 ELSE 2 END"


def write_splits(connection: duckdb.DuckDBPyConnection, dataset: Path, settings: IngestSettings, scratch: Path) -> None:
    """Write the splits, ordered by their keys, in shards of rows_per_shard."""
    columns = [f"text AS {TEXT}"] + ([f"pair AS {PAIR}"] if settings.text_pair_column else [])
    if settings.task == "multi_label":
        columns.append(f"CASE WHEN label = '' THEN [] ELSE string_split(label, {literal(BETWEEN)}) END AS {LABEL}")
    else:
        columns.append(f"label AS {LABEL}")
    columns += slices(settings)
    # The split and the key in one number of 64 bits; then half of the id.
    place = f"((({_RANKS})::UBIGINT << 62) | (key >> 2)) AS {PLACE}"
    bits = math.ceil(math.log2(max(1, parts(connection, settings.memory_limit) * _PARTS)))
    reader = connection.sql(
        f"SELECT {', '.join(columns)}, {place}, (id & 18446744073709551615)::UBIGINT AS {ID} FROM kept"
    ).to_arrow_reader(min(settings.rows_per_shard, _BATCH))
    names = [name for name in reader.schema.names[:-2] if name not in slices(settings)] + settings.slice_columns
    partitions = Partitions(scratch / "partitions", reader.schema, bits)
    for batch in reader:
        partitions.add(batch)
    del reader  # it would hold its blocks
    with at_rest(connection), ThreadPoolExecutor() as pool:
        shards = [Shards(split_dir(dataset, split), settings.rows_per_shard, pool) for split in SPLITS]
        for rank, rows in partitions.ordered():
            shards[rank].add(rows.rename_columns(names))
        for target in shards:
            target.close()


def write_rejected(connection: duckdb.DuckDBPyConnection, rows: Rows, counts: list[int], path: Path) -> None:
    """Write the rows that a rule rejected or changed, in the order of the source."""
    path.parent.mkdir(parents=True, exist_ok=True)
    starts = itertools.accumulate([0, *counts[:-1]])
    files = ", ".join(
        f"({number}, {literal(file.uri)}, {start})"
        for number, (file, start) in enumerate(zip(rows.files, starts, strict=True))
    )
    changes = (
        "["
        + ", ".join(f"CASE WHEN changes & {1 << bit} > 0 THEN {literal(name)} END" for bit, name in enumerate(CHANGES))
        + "]"
    )
    connection.execute(f"""
    COPY (
        SELECT uri AS file, rid - start + 1 AS row, action, why AS reason, {_shown("label")}, {_shown("text")}
        FROM (
            SELECT rowid AS rid, file, 'rejected' AS action, reason AS why, label, text
            FROM rows WHERE reason IS NOT NULL AND reason <> '{NOT_SAMPLED}'
            UNION ALL BY NAME
            SELECT rid, file, 'changed' AS action, why, label, text
            FROM (SELECT rowid AS rid, *, unnest({changes}) AS why FROM rows WHERE changes > 0) WHERE why IS NOT NULL
        ) JOIN (VALUES {files}) AS files(number, uri, start) ON number = file
        ORDER BY rid, action, why
    ) TO {literal(str(path))} (FORMAT parquet, COMPRESSION zstd)
    """)


def _shown(column: str) -> str:
    """Return the SQL expression of `column` with the replacement character for bytes that are not UTF-8."""
    return f"replace({column}, {literal(UNDECODABLE)}, chr(65533)) AS {column}"
