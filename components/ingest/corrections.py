"""Corrected labels: a second source of texts and labels, whose label wins over that of the same text in the source."""

from pathlib import Path

import duckdb
import pyarrow as pa

from berth.errors import BerthError
from components.ingest import database
from components.ingest.rows.reading import read_rows
from components.ingest.settings import IngestSettings
from components.ingest.sources.source import open_rows

_NO_LABEL = ("missing label", "label left out")
"""Why a row of the source cannot be used until a correction gives it a label."""


def correct(connection: duckdb.DuckDBPyConnection, settings: IngestSettings, scratch: Path) -> tuple[int, str]:
    """Correct the labels of the table `rows`; return how many rows have another label now, and a note, if any.

    A row is corrected if its text, and of pairs its second one too, is that of a correction but for case and white
    space.

    Raises:
        BerthError: the corrections cannot be read, a row of them cannot be used, or a text has two labels in them.
    """
    if not settings.corrections:
        return 0, ""
    own = settings.for_corrections()
    folder = scratch / "corrections"
    folder.mkdir()
    found = open_rows(own, folder)
    name = found.files[0].uri
    with database.opened(own.memory_limit, folder) as other:
        read_rows(other, found, own, folder)
        _check(other, name)
        corrections: pa.Table = other.execute("SELECT DISTINCT key, label FROM rows").to_arrow_table()
    given: int = corrections.num_rows
    connection.register("given_corrections", corrections)
    connection.execute("CREATE TABLE corrections AS SELECT * FROM given_corrections")
    connection.unregister("given_corrections")
    corrected, there = connection.execute(
        """SELECT count(*) FILTER (rows.label IS DISTINCT FROM corrections.label), count(DISTINCT key)
        FROM rows JOIN corrections USING (key)"""
    ).fetchall()[0]
    connection.execute(
        f"""UPDATE rows SET label = corrections.label,
            reason = CASE WHEN reason IN {_NO_LABEL} THEN NULL ELSE reason END
        FROM corrections WHERE rows.key = corrections.key"""
    )
    lost = given - there
    note = f"{name}: {lost:,} of its {given:,} texts are not in the source." if lost else ""
    return corrected, note


def _check(connection: duckdb.DuckDBPyConnection, name: str) -> None:
    bad = connection.execute(
        "SELECT rowid + 1, reason FROM rows WHERE reason IS NOT NULL ORDER BY rowid LIMIT 1"
    ).fetchone()
    if bad:
        raise BerthError(f"corrections: {name}: row {bad[0]:,}: {bad[1]}. Give each text and the label it should have.")
    twice = connection.execute(
        "SELECT min(text), min(label), max(label) FROM rows GROUP BY key HAVING min(label) <> max(label) LIMIT 1"
    ).fetchone()
    if twice:
        text, first, second = twice
        raise BerthError(
            f"corrections: {name}: {text[:60]!r} has the labels {first!r} and {second!r}. Keep one of them."
        )
