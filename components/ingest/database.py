"""The DuckDB in which ingest works, and what its errors mean."""

import contextlib
import errno
from collections.abc import Iterator
from pathlib import Path

import duckdb

from berth.errors import BerthError
from components.ingest.rows.duckdb_errors import NO_ROOM, lack
from components.ingest.rows.sql import literal


@contextlib.contextmanager
def opened(memory_limit: str, scratch: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    """Give a database in memory; what exceeds `memory_limit` goes to files in `scratch`.

    Raises:
        BerthError: `memory_limit` is not a size.
    """
    # All that is needed is built in; an extension would have to be downloaded.
    with duckdb.connect(config={"autoinstall_known_extensions": "false"}) as connection:
        connection.execute(f"SET temp_directory = {literal(str(scratch / 'spilled'))}; SET enable_progress_bar = false")
        connection.execute("SET TimeZone = 'UTC'")
        try:
            connection.execute(f"SET memory_limit = {literal(memory_limit)}")
        except duckdb.Error:
            raise BerthError(f"memory_limit: {memory_limit!r} is not a size. Write one such as 1GB or 800MB.") from None
        yield connection


def shortage(error: BaseException) -> str:
    """Return what the machine lacks, where that is what `error` is about; otherwise an empty text."""
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return NO_ROOM
    return lack(error) if isinstance(error, duckdb.Error) else ""
