"""Sampling, and assigning each row to a split."""

import duckdb

from components.ingest.settings import IngestSettings
from components.ingest.splits import rare_labels

NOT_SAMPLED = "left out by max_rows"


def sample(connection: duckdb.DuckDBPyConnection, settings: IngestSettings) -> None:
    """Keep max_rows texts, independent of the order of the source; stratified: the labels' shares stay the same."""
    if not settings.stratified:
        chosen = f"SELECT rowid FROM rows WHERE reason IS NULL ORDER BY hash(key), id LIMIT {settings.max_rows}"
    else:
        chosen = f"""
        SELECT rid FROM (
            SELECT rowid AS rid, row_number() OVER (PARTITION BY label ORDER BY hash(key), id) AS place,
                count(*) OVER (PARTITION BY label) AS per_label, count(*) OVER () AS total
            FROM rows WHERE reason IS NULL
        ) WHERE place <= greatest(1, round(per_label * least(1, {settings.max_rows} / total)))"""
    connection.execute(f"UPDATE rows SET reason = '{NOT_SAMPLED}' WHERE reason IS NULL AND rowid NOT IN ({chosen})")


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
    if split.by == "text" and (moves := rare_labels.find_moves(connection, settings)):
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
