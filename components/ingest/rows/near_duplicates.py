"""Near-duplicates: across splits, so that a test text is not a training text with one word changed; or in all rows.

A text is the set of its word pairs (a text of one word: that word). MinHash with banding finds candidates, and the
exact Jaccard similarity of each is compared with the threshold (Broder 1997; Leskovec, Rajaraman, Ullman, ch. 3).
All but the signatures is SQL: DuckDB spills to disk what does not fit in memory.
"""

import itertools
import math

import duckdb
import pyarrow as pa

from berth.errors import BerthError
from components.ingest.rows.minhash import BATCH, band_keys
from components.ingest.rows.sql import literal

REASON = "near-duplicate across splits"
OF_ANY = "near-duplicate"
_RECALL = 0.98
"""Probability that a pair exactly at the threshold becomes a candidate; for closer pairs it is higher."""
_MOST_BANDS = 64
_WITNESSES = 4
"""Most texts of an earlier split that a text is compared with, per band that they share."""
_LONGEST = 20_000
"""Characters of a text, and of its second one, that candidates are found by; all of them are compared."""
_BATCHES = 100
"""Batches of signatures that are stored at once."""

# Words; for scripts without spaces between words, characters.
_WORDS = r"regexp_extract_all({0}, '[\p{{Han}}\p{{Hiragana}}\p{{Katakana}}\p{{Thai}}]|[\p{{L}}\p{{N}}]+')"
_PAIRS = """CASE WHEN len(words) < 2 THEN list_transform(words, lambda word: hash(word))
    ELSE list_transform(range(1, len(words)), lambda i: hash(words[i], words[i + 1])) END"""


def find_near_duplicates(
    connection: duckdb.DuckDBPyConnection, threshold: float, keep: bool, within_splits: bool = False
) -> int:
    """Return how many rows of the view `kept` resemble one of an earlier split; unless `keep`, give them REASON.

    The order of splits is train, validation, test: the model trains on all it can, and is judged on texts new to it.
    With `within_splits`, rows that resemble any earlier row, in the order of the source, are found; they get OF_ANY.

    Raises:
        BerthError: `threshold` is so low that banding cannot find most pairs.
    """
    _make_bands(connection, *banding(threshold))
    chosen = "SELECT rid FROM candidates UNION SELECT witness FROM candidates"
    of_chosen = with_pairs(f"SELECT rid, text, pair FROM rows JOIN ({chosen}) ON rid = rows.rowid")
    of_chosen = f"SELECT rid, list_distinct(pairs) AS pairs FROM ({of_chosen})"
    order, group, later = "rid", "band", "NOT MATERIALIZED (FROM bands)"
    if not within_splits:  # most texts are in train, and most of their bands in no later split
        order, group = "rank", "band, rank"
        later = "MATERIALIZED (SELECT * FROM bands WHERE band IN (SELECT band FROM bands WHERE rank > 1))"
    connection.execute(f"""
        CREATE TABLE shared AS
        WITH later AS {later}
        SELECT * FROM later WHERE band IN (SELECT band FROM later GROUP BY band HAVING min({order}) < max({order}));

        CREATE TABLE candidates AS
        SELECT DISTINCT later.rid, earlier.rid AS witness
        FROM shared later JOIN (
            SELECT * FROM shared QUALIFY row_number() OVER (PARTITION BY {group} ORDER BY rid) <= {_WITNESSES}
        ) earlier ON earlier.band = later.band AND earlier.{order} < later.{order};

        CREATE TABLE near AS
        SELECT DISTINCT c.rid
        FROM candidates c JOIN ({of_chosen}) a ON a.rid = c.rid JOIN ({of_chosen}) b ON b.rid = c.witness
        WHERE len(list_intersect(a.pairs, b.pairs))
            >= {threshold} * (len(a.pairs) + len(b.pairs) - len(list_intersect(a.pairs, b.pairs)));
    """)
    if not keep:
        reason = literal(OF_ANY if within_splits else REASON)
        connection.execute(f"UPDATE rows SET reason = {reason} FROM near WHERE rows.rowid = near.rid")
    ((number,),) = connection.execute("SELECT count(*) FROM near").fetchall()
    for table in ("bands", "shared", "candidates", "near"):
        connection.execute(f"DROP TABLE {table}")
    return int(number)


def _make_bands(connection: duckdb.DuckDBPyConnection, bands: int, height: int) -> None:
    """Create the table `bands`: rid, rank (of the split) and band, a row per text and band."""
    text = f"lower(nfc_normalize(left(text, {_LONGEST}) || coalesce(' ' || left(pair, {_LONGEST}), '')))"
    rank = "list_position(['train', 'validation', 'test'], split)::UTINYINT AS rank"
    query = f"SELECT rid, rank, {spaced('text')} FROM (SELECT rid, {rank}, {text} AS text FROM kept)"
    connection.execute("CREATE TABLE bands (rid BIGINT, rank UTINYINT, band UBIGINT)")
    with connection.cursor() as reading:
        batches = reading.sql(query).to_arrow_reader(BATCH)
        keys = band_keys(batches, bands, height)
        while keyed := list(itertools.islice(keys, _BATCHES)):
            connection.register("keyed", pa.Table.from_batches(keyed))
            connection.execute("INSERT INTO bands SELECT rid, rank, unnest(keys) FROM keyed")
            connection.unregister("keyed")


def spaced(text: str) -> str:
    """Return the SQL expression of what band_keys takes for that of a `text` in lower case."""
    words = f"array_to_string({_WORDS.format(text)}, ' ')"
    return f"CASE WHEN strlen({text}) = length({text}) THEN {text} ELSE {words} END || ' '"


def banding(threshold: float) -> tuple[int, int]:
    """Return the number of bands and of permutations in each: as few as find a pair at the threshold with _RECALL."""
    height = 3 if threshold >= 0.7 else 2
    agree = min(threshold**height, 1 - 1e-9)
    bands = math.ceil(math.log(1 - _RECALL) / math.log(1 - agree))
    if bands > _MOST_BANDS:
        raise BerthError(f"cleaning.near_duplicates: {threshold:g} is too low to search for. Use 0.3 or more, or 0.")
    return max(bands, 2), height


def with_pairs(query: str) -> str:
    """Return the query that adds the hashes of the word pairs, a list of UBIGINT, to the texts of `query`."""
    words = _WORDS.format("lower(nfc_normalize(text || coalesce(' ' || pair, '')))")
    return f"SELECT * EXCLUDE (text, pair, words), {_PAIRS} AS pairs FROM (SELECT *, {words} AS words FROM ({query}))"
