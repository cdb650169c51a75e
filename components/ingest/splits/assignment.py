"""Sampling, and assigning each row to a split."""

import duckdb

from components.ingest.rows.sql import BETWEEN, literal
from components.ingest.settings import IngestSettings
from components.ingest.splits import rare_labels

NOT_SAMPLED = "left out by max_rows"


def sample(connection: duckdb.DuckDBPyConnection, settings: IngestSettings) -> None:
    """Keep max_rows texts, independent of the order of the source; stratified: the labels' shares stay the same.

    Each label keeps a text first, while there is room. Of a text with several labels, the rarest one counts.
    """
    share, stratum = "hash(key)", "''"
    if settings.stratified:
        share, stratum = "CASE WHEN place = 1 THEN 0 ELSE (place - 0.5) / number END", "label"
        if settings.task == "multi_label":
            _find_rarest_labels(connection)
            stratum = "coalesce((SELECT own FROM rarest WHERE rarest.rid = rows.rowid), '')"
    connection.execute(f"""
    CREATE TABLE chosen AS
    WITH strata AS (SELECT rowid AS rid, key, id, {stratum} AS stratum FROM rows WHERE reason IS NULL),
    placed AS (
        SELECT *, row_number() OVER (PARTITION BY stratum ORDER BY hash(key), id) AS place,
            count(*) OVER (PARTITION BY stratum) AS number
        FROM strata
    )
    SELECT rid FROM placed ORDER BY {share}, hash(key), id LIMIT {settings.max_rows}
    """)
    connection.execute(
        f"UPDATE rows SET reason = '{NOT_SAMPLED}' WHERE reason IS NULL AND rowid NOT IN (SELECT rid FROM chosen)"
    )
    connection.execute("DROP TABLE chosen")
    connection.execute("DROP TABLE IF EXISTS rarest")


def _find_rarest_labels(connection: duckdb.DuckDBPyConnection) -> None:
    """Create the table `rarest`: of each text with labels, its rid and the one, `own`, that the fewest texts have."""
    connection.execute(f"""
    CREATE TABLE rarest AS
    WITH each AS (
        SELECT rowid AS rid, unnest(string_split(label, {literal(BETWEEN)})) AS own
        FROM rows WHERE reason IS NULL AND label <> ''
    ),
    counted AS (SELECT own, count(*) AS number FROM each GROUP BY own)
    SELECT rid, arg_min(own, (number, own)) AS own FROM each JOIN counted USING (own) GROUP BY rid
    """)


def assign_splits(connection: duckdb.DuckDBPyConnection, settings: IngestSettings) -> None:
    """Create the view `kept`: the rows that stay, with their rid and split."""
    split = settings.split
    share = "((key >> 12) / 16.0 ** 13)"
    if split.by == "time":
        first, second = connection.execute(
            f"SELECT unnest(quantile_disc(moment, [{split.train}, {split.train + split.validation}])) "
            "FROM rows WHERE reason IS NULL"
        ).fetchall() or ((None,), (None,))
        ends = [f"TIMESTAMP '{end}'" for (end,) in (first, second)]
        chosen = (
            f"CASE WHEN moment <= {ends[0]} THEN 'train' WHEN moment <= {ends[1]} THEN 'validation' ELSE 'test' END"
        )
    else:
        drawn = f"CASE WHEN {share} < {split.train} THEN 'train' WHEN {share} < {split.train + split.validation} "
        drawn += "THEN 'validation' ELSE 'test' END"
        chosen = f"coalesce({_given(connection, share, settings)}, {drawn})"
    connection.execute(f"CREATE VIEW drawn AS SELECT rowid AS rid, *, {chosen} AS split FROM rows WHERE reason IS NULL")
    connection.execute("CREATE VIEW kept AS FROM drawn")
    if split.by != "time" and (moves := rare_labels.find_moves(connection, settings)):
        connection.execute("CREATE TABLE moves (rid BIGINT, target VARCHAR)")
        connection.executemany("INSERT INTO moves VALUES (?, ?)", [[rid, target] for rid, target in moves.items()])
        connection.execute(
            "CREATE OR REPLACE VIEW kept AS "
            "SELECT drawn.* REPLACE (coalesce(target, split) AS split) FROM drawn LEFT JOIN moves USING (rid)"
        )
    rare_labels.drop_unknown(connection, settings)


def _given(connection: duckdb.DuckDBPyConnection, share: str, settings: IngestSettings) -> str:
    """Return the SQL expression of the split that the source gives; a split that it lacks is drawn from train."""
    there = {name for (name,) in connection.execute("SELECT DISTINCT given FROM rows").fetchall()}
    if there <= {None}:
        return "given"
    split, cases, end = settings.split, "", 0.0
    for name, fraction in (("validation", split.validation), ("test", split.test)):
        if name not in there:
            end += fraction
            cases += f"WHEN given = 'train' AND {share} < {end} THEN '{name}' "
    return f"CASE {cases} ELSE given END" if cases else "given"
