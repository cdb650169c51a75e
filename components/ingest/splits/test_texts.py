"""Keys of the test split's texts, by which a corpus for pre-training leaves these texts out."""

import glob
from pathlib import Path

import duckdb

from berth.data.dataset import PAIR, TEXT, split_dir
from components.ingest.rows.cleaning import NORMALISED
from components.ingest.rows.sql import literal

FILE = "test_texts.parquet"
"""The name under which ingest logs the keys to MLflow: a column `key`, UBIGINT."""


def key(text: str) -> str:
    """Return the SQL expression of the key of the SQL expression `text`: of its normal form, without a seed."""
    return f"CAST('0x' || sha256({NORMALISED.replace('{0}3', text)})[:16] AS UBIGINT)"


def write_keys(dataset: str | Path, path: Path) -> None:
    """Write the keys of the test texts of `dataset`, of each of a pair's two, to the Parquet file `path`."""
    with duckdb.connect(config={"autoinstall_known_extensions": "false"}) as connection:
        connection.execute(f"COPY ({keys_of(connection, split_dir(dataset, 'test'))}) TO {literal(str(path))}")


def keys_of(connection: duckdb.DuckDBPyConnection, test: Path) -> str:
    """Return the query for the keys of the texts in the folder `test` of a dataset."""
    return f"SELECT DISTINCT {key('text')} AS key FROM ({texts_of(connection, test)})"


def texts_of(connection: duckdb.DuckDBPyConnection, test: Path) -> str:
    """Return the query for the texts in the folder `test` of a dataset, each of a pair's two: a column `text`."""
    files = f"read_parquet({literal(glob.escape(str(test)) + '/*.parquet')}, hive_partitioning=false)"
    columns = {name for name, *_ in connection.execute(f"DESCRIBE SELECT * FROM {files}").fetchall()}
    texts = [name for name in (TEXT, PAIR) if name in columns]
    return " UNION ".join(f"SELECT {name} AS text FROM {files}" for name in texts)
