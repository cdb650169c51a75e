"""The DuckDB in which ingest works, and what its errors mean."""

import contextlib
import errno
from collections.abc import Iterator
from pathlib import Path

import duckdb
from pydantic import ByteSize, TypeAdapter

from berth.errors import BerthError
from components.ingest.rows.duckdb_errors import lack, no_room
from components.ingest.rows.sql import literal

_PARTS = 8
"""Part of `memory_limit` that a source in a database in memory may have: rows are larger than their files."""
_AT_REST = "32MB"


@contextlib.contextmanager
def opened(memory_limit: str, scratch: Path, source: int = 0) -> Iterator[duckdb.DuckDBPyConnection]:
    """Give a database for a `source` of so many bytes; what exceeds `memory_limit` goes to files in `scratch`.

    A large source's database is a file, whose blocks leave memory without being written again; one of a small source
    is in memory, where nothing waits for the disk.

    Raises:
        BerthError: `memory_limit` is not a size.
    """
    large = source > _size(memory_limit) / _PARTS
    # All that is needed is built in; an extension would have to be downloaded.
    path = scratch / "rows.duckdb" if large else ":memory:"
    with duckdb.connect(path, config={"autoinstall_known_extensions": "false"}) as connection:
        connection.execute(f"SET temp_directory = {literal(str(scratch / 'spilled'))}; SET enable_progress_bar = false")
        connection.execute("SET TimeZone = 'UTC'")
        connection.execute(f"SET memory_limit = {literal(memory_limit)}")
        if large:  # nobody reads the file later
            connection.execute("PRAGMA force_compression = 'uncompressed'; PRAGMA disable_checkpoint_on_shutdown")
            connection.execute("SET checkpoint_threshold = '1TB'")
        yield connection


@contextlib.contextmanager
def at_rest(connection: duckdb.DuckDBPyConnection) -> Iterator[None]:
    """Give back the memory of a database whose blocks are in a file, while others need it."""
    ((limit, in_file),) = connection.execute("""
        SELECT current_setting('memory_limit'), path IS NOT NULL
        FROM duckdb_databases() WHERE database_name = current_database()
    """).fetchall()
    if in_file:
        with contextlib.suppress(duckdb.OutOfMemoryException):  # what cannot leave stays
            connection.execute(f"SET memory_limit = {literal(_AT_REST)}")
    yield
    connection.execute(f"SET memory_limit = {literal(limit)}")


def parts(connection: duckdb.DuckDBPyConnection, memory_limit: str) -> float:
    """Return how many times `memory_limit` the database has, in its file or in memory and what was moved out of it."""
    ((used,),) = connection.execute("""
        SELECT greatest(
            (SELECT used_blocks * block_size FROM pragma_database_size()),
            (SELECT sum(memory_usage_bytes + temporary_storage_bytes) FROM duckdb_memory())
        )
    """).fetchall()
    return float(used / _size(memory_limit))


def _size(memory_limit: str) -> int:
    try:
        return int(TypeAdapter(ByteSize).validate_python(memory_limit))
    except ValueError:
        raise BerthError(f"memory_limit: {memory_limit!r} is not a size. Write one such as 1GB or 800MB.") from None


def shortage(error: BaseException) -> str:
    """Return what the machine lacks, where that is what `error` is about; otherwise an empty text."""
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return no_room()
    return lack(error) if isinstance(error, duckdb.Error) else ""
