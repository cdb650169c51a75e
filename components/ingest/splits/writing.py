"""Write the splits and the rejected rows as Parquet."""

import itertools
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import duckdb

from berth.data.dataset import LABEL, PAIR, SPLITS, TEXT, split_dir
from components.ingest.rows.cleaning import CHANGES
from components.ingest.rows.encoding import UNDECODABLE
from components.ingest.rows.sql import BETWEEN, literal, slices
from components.ingest.settings import IngestSettings
from components.ingest.sources.files import Rows
from components.ingest.splits.assignment import NOT_SAMPLED
from components.ingest.splits.shards import Shards

_BATCH = 20_000
"""Rows per batch from DuckDB."""


def write_splits(
    connection: duckdb.DuckDBPyConnection, dataset: Path, settings: IngestSettings, sizes: dict[str, int]
) -> None:
    """Write the splits, of `sizes` rows, ordered by their keys, in shards of rows_per_shard, with one sort."""
    columns = [f"text AS {TEXT}"] + ([f"pair AS {PAIR}"] if settings.text_pair_column else [])
    if settings.task == "multi_label":
        columns.append(f"CASE WHEN label = '' THEN [] ELSE string_split(label, {literal(BETWEEN)}) END AS {LABEL}")
    else:
        columns.append(f"label AS {LABEL}")
    columns += slices(settings)
    rank = "(CASE split WHEN 'train' THEN 0 WHEN 'validation' THEN 1 ELSE 2 END)::UBIGINT"
    # Two numbers of 64 bits: DuckDB sorts them several times faster than longer keys.
    order = f"({rank} << 62) | (key >> 2), (id & 18446744073709551615)::UBIGINT"
    reader = connection.sql(f"SELECT {', '.join(columns)} FROM kept ORDER BY {order}").to_arrow_reader(
        min(settings.rows_per_shard, _BATCH)
    )
    names = [name for name in reader.schema.names if name not in slices(settings)] + settings.slice_columns
    with ThreadPoolExecutor() as pool:
        shards = [Shards(split_dir(dataset, split), settings.rows_per_shard, pool) for split in SPLITS]
        place, left = 0, sizes[SPLITS[0]]
        for batch in reader:
            batch = batch.rename_columns(names)
            while batch.num_rows:
                while not left:
                    place += 1
                    left = sizes[SPLITS[place]]
                shards[place].add(batch.slice(0, left))
                taken = min(left, batch.num_rows)
                left, batch = left - taken, batch.slice(taken)
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
