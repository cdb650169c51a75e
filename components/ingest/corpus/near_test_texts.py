"""Documents that hold almost a test text: one with a word changed teaches an encoder nearly as much of it.

The search is that of near-duplicates (components.ingest.rows.near_duplicates). Of the documents' parts only those stay
in memory that share a band with a test text, so a corpus may be of any size.
"""

import itertools
from collections.abc import Iterator
from pathlib import Path

import duckdb
import pyarrow as pa

from components.ingest.corpus.parts import in_parts
from components.ingest.rows.minhash import BATCH, band_keys
from components.ingest.rows.near_duplicates import banding, spaced, with_pairs
from components.ingest.rows.sql import literal
from components.ingest.splits import test_texts

REASON = "near-duplicate of a test text: "
"""What a document is left out for, with the name in `exclude` behind it."""
_NORMAL = "lower(nfc_normalize({0}))"


def exclude(
    connection: duckdb.DuckDBPyConnection, datasets: dict[str, list[Path]], parts: str, threshold: float
) -> dict[str, int]:
    """Give REASON to the documents of the table `rows` of which a part resembles a test text; return how many, by name.

    Args:
        connection: Its table `rows` has the documents.
        datasets: Folders of datasets by the names in `exclude` that they belong to.
        parts: The SQL expression of what is compared of the column `text`, a list of texts.
        threshold: The Jaccard similarity of word pairs from which on a part is left out.
    """
    bands, height = banding(threshold)
    connection.execute("CREATE TABLE tested_texts (number BIGINT, name VARCHAR, text VARCHAR)")
    for name, folder in ((name, folder) for name, folders in datasets.items() for folder in folders):
        found = test_texts.texts_of(connection, folder / "test")
        connection.execute(f"""
            INSERT INTO tested_texts SELECT (SELECT count(*) FROM tested_texts) + row_number() OVER (), *
            FROM (SELECT DISTINCT {literal(name)} AS name, text FROM ({found}))
        """)
    tested = f"SELECT number, {spaced('text')} FROM (SELECT number, {_NORMAL.format('text')} AS text FROM tested_texts)"
    keyed = band_keys(connection.cursor().sql(tested).to_arrow_reader(BATCH), bands, height)
    _store(connection, "tested_bands", keyed, "number BIGINT, band UBIGINT", "number, unnest(keys)")
    work = f"""
        SELECT rid, own AS text, {spaced("own")} FROM (
            SELECT rid, unnest(list_distinct(list_transform({parts}, lambda part: {_NORMAL.format("part")}))) AS own
            FROM part
        )
    """
    rows = in_parts(connection, "SELECT rowid AS rid, text FROM rows WHERE reason IS NULL", work)
    like = "SELECT rid, text, unnest(keys) AS band FROM keyed"
    _store(
        connection,
        "candidates",
        band_keys(_batches(rows), bands, height),
        "rid BIGINT, text VARCHAR, number BIGINT",
        f"DISTINCT rid, text, number FROM ({like}) JOIN tested_bands USING (band)",
    )
    of_parts = with_pairs("SELECT DISTINCT text AS own, text, NULL AS pair FROM candidates")
    of_tested = with_pairs(
        "SELECT number, name, text, NULL AS pair FROM tested_texts WHERE number IN (SELECT number FROM candidates)"
    )
    both = "len(list_intersect(a.pairs, b.pairs))"
    connection.execute(f"""
        CREATE TABLE holding AS
        SELECT rid, min(b.name) AS name
        FROM candidates c JOIN (SELECT own, list_distinct(pairs) AS pairs FROM ({of_parts})) a ON a.own = c.text
        JOIN (SELECT number, name, list_distinct(pairs) AS pairs FROM ({of_tested})) b USING (number)
        WHERE {both} >= {threshold} * (len(a.pairs) + len(b.pairs) - {both})
        GROUP BY rid;
        UPDATE rows SET reason = {literal(REASON)} || name FROM holding WHERE rows.rowid = rid;
    """)
    counts = dict(connection.execute("SELECT name, count(*) FROM holding GROUP BY 1").fetchall())
    for table in ("tested_texts", "tested_bands", "candidates", "holding"):
        connection.execute(f"DROP TABLE {table}")
    return {name: counts.get(name, 0) for name in datasets}


def _batches(rows: Iterator[tuple[int, str, str]]) -> Iterator[pa.RecordBatch]:
    names, types = ("rid", "text", "words"), (pa.int64(), pa.string(), pa.string())
    while some := list(itertools.islice(rows, BATCH)):
        columns = [pa.array(own, type) for own, type in zip(zip(*some, strict=True), types, strict=True)]
        yield pa.RecordBatch.from_arrays(columns, names)


def _store(
    connection: duckdb.DuckDBPyConnection, table: str, batches: Iterator[pa.RecordBatch], columns: str, chosen: str
) -> None:
    """Create `table` with `columns`, and fill it with what is `chosen` of each of `batches`, the relation `keyed`."""
    connection.execute(f"CREATE TABLE {table} ({columns})")
    source = "" if " FROM " in chosen else " FROM keyed"
    for batch in batches:
        connection.register("keyed", pa.Table.from_batches([batch]))
        connection.execute(f"INSERT INTO {table} SELECT {chosen}{source}")
        connection.unregister("keyed")
