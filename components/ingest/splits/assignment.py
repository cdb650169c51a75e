"""Sampling, and assigning each row to a split."""

import duckdb

from components.ingest.settings import IngestSettings
from components.ingest.splits import rare_labels

NOT_SAMPLED = "left out by max_rows"
_MANY_MOVED, _FEW_TEXTS = 0.1, 100
"""Share of the texts whose move is told, unless they are few."""


def sample(connection: duckdb.DuckDBPyConnection, settings: IngestSettings) -> None:
    """Keep max_rows texts, independent of the order of the source; stratified: the labels' shares stay the same.

    Each label keeps three texts first, which all splits can share, or one, while there is room; of train, where the
    source says which these are. Of a text with several labels, the rarest one counts.
    """
    order, stratum = "hash(key)", "''"
    if settings.stratified:
        order, stratum = "CASE WHEN first <= reserved THEN first END NULLS LAST, (place - 0.5) / number", "label"
        if settings.task == "multi_label":
            rare_labels.find_rarest(connection, settings)
            stratum = "coalesce((SELECT own FROM rarest WHERE rarest.rid = rows.rowid), '')"
    connection.execute(f"""
    CREATE TABLE chosen AS
    WITH strata AS (SELECT rowid AS rid, key, id, given, {stratum} AS stratum FROM rows WHERE reason IS NULL),
    labels AS (
        SELECT CASE WHEN 3 * count(*) <= {settings.max_rows} THEN 3 WHEN count(*) <= {settings.max_rows} THEN 1 ELSE 0
            END AS reserved
        FROM (SELECT DISTINCT stratum FROM strata)
    ),
    placed AS (
        SELECT *, row_number() OVER (PARTITION BY stratum ORDER BY hash(key), id) AS place,
            row_number() OVER (PARTITION BY stratum ORDER BY given IS DISTINCT FROM 'train', hash(key), id) AS first,
            count(*) OVER (PARTITION BY stratum) AS number
        FROM strata
    )
    SELECT rid FROM placed, labels ORDER BY {order}, hash(key), id LIMIT {settings.max_rows}
    """)
    connection.execute(
        f"UPDATE rows SET reason = '{NOT_SAMPLED}' WHERE reason IS NULL AND rowid NOT IN (SELECT rid FROM chosen)"
    )
    connection.execute("DROP TABLE chosen")
    connection.execute("DROP TABLE IF EXISTS rarest")


def assign_splits(connection: duckdb.DuckDBPyConnection, settings: IngestSettings) -> list[str]:
    """Create the view `kept`, the rows that stay, with their rid and split; return what is doubtful about it."""
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
    return _moved(connection)


def _moved(connection: duckdb.DuckDBPyConnection) -> list[str]:
    """Return a note if rare labels have moved much of the train split."""
    ((left, total, train),) = connection.execute(
        "SELECT count(*) FILTER (drawn.split = 'train' AND kept.split <> 'train'), count(*), "
        "count(*) FILTER (kept.split = 'train') FROM kept JOIN drawn USING (rid)"
    ).fetchall()
    if left <= _MANY_MOVED * total or total < _FEW_TEXTS:
        return []
    return [
        f"rare labels: {left:,} texts have left the train split, so that every split has each label of three texts or "
        f"more; it has {train:,} of {total:,} texts. Merge the rarest with rare_labels."
    ]


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
