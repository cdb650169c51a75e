"""A source that is a query: to any database that SQLAlchemy supports, or to any files that DuckDB reads."""

import math
import os
import re
from collections.abc import Iterator, Sequence
from decimal import Decimal
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from berth.data.source import Source
from berth.errors import BerthError, first_line

_BATCH = 20_000
"""Rows that are fetched at a time."""
_TIMEOUT_SECONDS = 20
"""Limit in seconds for connecting to a database."""


def name(source: Source) -> str:
    """Return the name of the query's rows in messages and in the manifest."""
    return f"query over {source.connection or 'DuckDB'}"


def columns(source: Source) -> list[str]:
    """Run the query up to its first rows and return its columns; raises as `store` does."""
    return list(next(_batches(source)).schema.names)


def store(source: Source, path: Path) -> None:
    """Run the query and write its rows to the Parquet file `path`, a batch at a time.

    Raises:
        BerthError: the connection's variable is not set, the database does not answer, or the query fails.
    """
    batches = _batches(source)
    first = next(batches)
    with pq.ParquetWriter(path, first.schema) as writer:
        writer.write_table(first)
        for batch in batches:
            writer.write_table(batch)


def digest(source: Source) -> str:
    """Run the query and return a digest of its rows that does not depend on their order; raises as `store` does."""
    import hashlib

    rows, total = 0, 0
    for batch in _batches(source):
        for row in batch.to_pylist():
            total += int.from_bytes(hashlib.sha256(repr(tuple(row.values())).encode()).digest()[:16], "big")
        rows += batch.num_rows
    return hashlib.sha256(f"{source.sql}\0{rows}\0{total}".encode()).hexdigest()


def _batches(source: Source) -> Iterator[pa.Table]:
    """Yield the query's rows; there is always a first batch, even if it is empty, for its columns."""
    return _from_database(source) if source.connection else _from_duckdb(source)


def _from_duckdb(source: Source) -> Iterator[pa.Table]:
    with duckdb.connect() as connection:
        try:
            if source.folder:
                connection.execute("SET file_search_path = ?", [source.folder])
            statements = connection.extract_statements(source.sql)
            if [statement.type for statement in statements] != [duckdb.StatementType.SELECT]:
                raise BerthError("source.sql: returns no rows. Write one SELECT.")
            reader = connection.sql(source.sql).to_arrow_reader(_BATCH)
            yield reader.schema.empty_table()
            for batch in reader:
                yield pa.Table.from_batches([batch])
        except duckdb.Error as error:
            raise BerthError(f"source.sql: the query fails ({_reason(error)}). Fix the query.") from None


def _from_database(source: Source) -> Iterator[pa.Table]:
    import sqlalchemy
    from sqlalchemy import exc

    variable = source.connection.removeprefix("env:")
    address = os.environ.get(variable, "")
    if not address:
        raise BerthError(f"source.connection: the variable {variable} is not set. Put the database's URL there.")
    password = ""
    try:
        url = sqlalchemy.make_url(address)
        if url.drivername == "postgresql":
            url = url.set(drivername="postgresql+psycopg")
        password = str(url.password or "")
        if url.get_backend_name() == "sqlite" and not Path(url.database or "").is_file():
            raise BerthError(f"source.connection: no SQLite file {url.database} ({variable}). Fix the URL.")
        waits = {"connect_timeout": _TIMEOUT_SECONDS} if url.get_backend_name() == "postgresql" else {}
        engine = sqlalchemy.create_engine(url, connect_args=waits, poolclass=sqlalchemy.NullPool)
    except (exc.ArgumentError, exc.NoSuchModuleError, ImportError, ValueError) as error:
        reason = _without(password, _reason(error))
        raise BerthError(
            f"source.connection: {variable} does not hold a usable SQLAlchemy URL ({reason}). "
            "Write postgresql://user:password@host/database or sqlite:////path."
        ) from None
    try:
        with engine.connect().execution_options(stream_results=True, yield_per=_BATCH) as connection:
            # A colon in the query is a plain colon, not a parameter of SQLAlchemy.
            result = connection.execute(sqlalchemy.text(source.sql.replace(":", r"\:")))
            if not result.returns_rows:
                raise BerthError("source.sql: returns no rows. Write one SELECT.")
            names = list(result.keys())
            types: list[pa.DataType] = []
            for partition in result.partitions():
                table = _table(names, list(partition), types)
                types = types or list(table.schema.types)
                yield table
            if not types:
                yield _table(names, [], [pa.string()] * len(names))
    except exc.SQLAlchemyError as error:
        reason = _without(password, _reason(getattr(error, "orig", None) or error))
        raise BerthError(
            f"source.sql: the query over {variable} fails ({reason}). Fix it, or the connection."
        ) from None
    finally:
        engine.dispose()


def _table(names: list[str], rows: Sequence[Sequence[object]], types: list[pa.DataType]) -> pa.Table:
    """Return the rows as a table whose columns are texts or lists of texts, whatever the database's own types."""
    found = [list(column) for column in zip(*rows, strict=True)] or [[] for _ in names]
    if not types:
        lists = [any(isinstance(value, list) for value in column) for column in found]
        types = [pa.list_(pa.string()) if is_list else pa.string() for is_list in lists]
    arrays = [pa.array([_text(value) for value in column], type) for column, type in zip(found, types, strict=True)]
    return pa.Table.from_arrays(arrays, names=names)


def _text(value: object) -> str | list[object] | None:
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, list):
        return [_text(item) for item in value]
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (float, Decimal)):
        return _number(value)
    if isinstance(value, (bytes, memoryview)):
        return bytes(value).decode("utf-8", errors="berth-mark")
    return str(value)


def _number(value: float | Decimal) -> str | None:
    """Return a number as text, as from every other source: 1.0 is 1, and NaN is missing."""
    number = float(value)
    if math.isnan(number):
        return None
    return str(int(number)) if number.is_integer() and abs(number) < 2**53 else str(value)


def _reason(error: BaseException) -> str:
    return re.sub(r"^\w+ Error: ", "", first_line(error))


def _without(password: str, text: str) -> str:
    return text.replace(password, "***") if password else text
