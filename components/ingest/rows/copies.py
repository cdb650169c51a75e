"""Removal of rows with the same text: one stays."""

import duckdb

from components.ingest.rows.sql import slices
from components.ingest.settings import IngestSettings

DUPLICATE = "duplicate"


def drop_copies(connection: duckdb.DuckDBPyConnection, settings: IngestSettings) -> None:
    """Make one text one row: the first of its copies stays, unless they carry different labels.

    For copies in several slices, the values that sort first stay, whatever the order of the source. The first query
    finds copies with as little data as possible; the others then process few rows.
    """
    names = slices(settings)
    least = ", min({" + ", ".join(f"{name}: {name}" for name in names) + "}) AS least" if names else ""
    connection.execute(f"""
        CREATE TABLE copied AS SELECT id FROM rows WHERE reason IS NULL GROUP BY id HAVING count(*) > 1;
        CREATE TABLE copies AS
        SELECT id, min(rows.rowid) AS first, min(label) <> max(label) AS conflicting{least}
        FROM rows JOIN copied USING (id) WHERE reason IS NULL GROUP BY id;
        UPDATE rows SET reason = CASE WHEN conflicting THEN 'conflicting labels' ELSE '{DUPLICATE}' END FROM copies
        WHERE rows.id = copies.id AND reason IS NULL AND (conflicting OR rows.rowid <> first);
    """)
    if names:
        values = ", ".join(f"{name} = least.{name}" for name in names)
        connection.execute(f"UPDATE rows SET {values} FROM copies WHERE rows.id = copies.id AND reason IS NULL")
    connection.execute("DROP TABLE copied; DROP TABLE copies")
