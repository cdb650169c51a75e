"""Labels with few texts: what `rare_labels` does with them, and that each is in the splits that it can be in."""

from collections import defaultdict
from dataclasses import dataclass, field

import duckdb

from berth.data.dataset import SPLITS
from berth.errors import BerthError
from components.ingest.rows.sql import BETWEEN, literal
from components.ingest.settings import IngestSettings

RARE = "label with fewer texts than rare_labels.min_texts"
NOT_IN_TRAIN = "label that no train text has"
OTHER = "other"
_EVERYWHERE = 3
"""A label with so many texts is in every split."""
_EACH = "SELECT rid, unnest(string_split(label, {between})) AS own FROM {rows}"
_ROWS = "(SELECT rowid AS rid, label FROM rows WHERE reason IS NULL AND label <> '')"
"""For `_EACH`, before the rows have their splits."""


def apply_policy(connection: duckdb.DuckDBPyConnection, settings: IngestSettings) -> list[str]:
    """Drop, or rename to `other`, the labels with fewer than rare_labels.min_texts texts; return what is doubtful.

    Raises:
        BerthError: fewer than two labels would be left.
    """
    policy = settings.rare_labels
    if policy.then == "keep" or policy.min_texts <= 1:
        return []
    each = _EACH.format(between=_between(settings), rows=_ROWS)
    connection.execute(
        f"CREATE TABLE rare AS SELECT own FROM ({each}) GROUP BY own HAVING count(*) < {policy.min_texts}"
    )
    notes = _check_policy(connection, each, settings)
    if settings.task == "multi_label":
        _rewrite(connection, "rare", OTHER if policy.then == "other" else "")
    elif policy.then == "other":
        connection.execute(f"UPDATE rows SET label = '{OTHER}' FROM rare WHERE label = own AND reason IS NULL")
    else:
        connection.execute(f"UPDATE rows SET reason = '{RARE}' FROM rare WHERE label = own AND reason IS NULL")
    connection.execute("DROP TABLE rare")
    return notes


def _check_policy(connection: duckdb.DuckDBPyConnection, each: str, settings: IngestSettings) -> list[str]:
    """Return a note if the rare labels join a label of the data's own; raise if fewer than two labels are left."""
    policy = settings.rare_labels
    ((frequent, own, rare),) = connection.execute(f"""
        WITH known AS (SELECT DISTINCT own FROM ({each}) WHERE own NOT IN (FROM rare))
        SELECT count(*), count(*) FILTER (own = '{OTHER}'), (SELECT count(*) FROM rare) FROM known
    """).fetchall()
    left = frequent + (1 if policy.then == "other" and rare and not own else 0)
    if rare and left < 2:
        raise BerthError(
            f"rare_labels: of {frequent + rare:,} labels, {frequent:,} {'has' if frequent == 1 else 'have'} "
            f"{policy.min_texts:,} texts or more, and a classifier needs two labels. Lower rare_labels.min_texts."
        )
    if not (rare and own and policy.then == "other"):
        return []
    return [
        f"rare_labels: texts of {rare:,} rare labels have joined the label '{OTHER}', which the data has too. If they "
        f"are not the same, rename that one with label_map."
    ]


def find_rarest(connection: duckdb.DuckDBPyConnection, settings: IngestSettings) -> None:
    """Create the table `rarest`: of each text with labels, its rid and the one, `own`, that the fewest texts have."""
    connection.execute(f"""
    CREATE TABLE rarest AS
    WITH each AS ({_EACH.format(between=_between(settings), rows=_ROWS)}),
    counted AS (SELECT own, count(*) AS number FROM each GROUP BY own)
    SELECT rid, arg_min(own, (number, own)) AS own FROM each JOIN counted USING (own) GROUP BY rid
    """)


def drop_unknown(connection: duckdb.DuckDBPyConnection, settings: IngestSettings) -> None:
    """Leave out the labels that train lacks, where the source or time decides the splits: no model can learn them."""
    each = _EACH.format(between=_between(settings), rows="kept WHERE label <> '' AND split {is_train} 'train'")
    connection.execute(
        f"CREATE TABLE unknown AS SELECT DISTINCT own FROM ({each.format(is_train='<>')}) "
        f"WHERE own NOT IN (SELECT own FROM ({each.format(is_train='=')}))"
    )
    if settings.task == "multi_label":
        _rewrite(connection, "unknown", "")
    else:
        connection.execute(
            f"UPDATE rows SET reason = '{NOT_IN_TRAIN}' FROM unknown WHERE label = own AND reason IS NULL"
        )
    connection.execute("DROP TABLE unknown")


def find_moves(connection: duckdb.DuckDBPyConnection, settings: IngestSettings) -> dict[int, str]:
    """Return the new split of each row of the view `kept` that has to move, by its rid.

    Train gets a text of every label, and every split one of a label with three or more: iterative stratification
    (Sechidis et al. 2011) of the labels alone that the hash left out of a split, the rarest first. A split that is
    empty then gets a text of the most frequent labels. All else stays where the hash put it, so that a text's split
    depends on no other text but those of its own rare labels.
    """
    movable = _movable(connection)
    if "train" not in movable:
        return {}
    each = _EACH.format(between=_between(settings), rows="kept WHERE label <> ''")
    counts: dict[str, dict[str, int]] = defaultdict(lambda: dict.fromkeys(SPLITS, 0))
    for label, split, number in connection.execute(
        f"SELECT own, split, count(*) FROM ({each.replace('rid,', 'rid, split,')}) GROUP BY ALL"
    ).fetchall():
        counts[label][split] = number
    return _Moves(connection, settings, counts, movable).find()


@dataclass(frozen=True)
class _Moves:
    connection: duckdb.DuckDBPyConnection
    settings: IngestSettings
    counts: dict[str, dict[str, int]]
    movable: tuple[str, ...]
    found: dict[int, str] = field(default_factory=dict)

    def find(self) -> dict[int, str]:
        """Return the moves. A text that goes to train may leave another of its labels without a text in its split."""
        moves = -1
        while len(self.found) > moves and (lacking := self._lacking()):
            moves = len(self.found)
            texts = self._texts(lacking)
            for label in lacking:
                for split in self.movable:
                    if _lacks(self.counts[label], split):
                        self._move_one(texts[label], split)
        self._fill()
        return self.found

    def _lacking(self) -> list[str]:
        """Return the labels that a split lacks and should have, the rarest first."""
        lacking = [own for own, counts in self.counts.items() if any(_lacks(counts, split) for split in self.movable)]
        return sorted(lacking, key=lambda own: (sum(self.counts[own].values()), own))

    def _fill(self) -> None:
        """Give each empty split a text of train, of the most frequent labels first."""
        if are_too_many(len(self.counts), sum(sum(own.values()) for own in self.counts.values())):
            return
        empty = [split for split in self.movable if not any(counts[split] for counts in self.counts.values())]
        for split in empty:
            for label in sorted(self.counts, key=lambda own: (-self.counts[own]["train"], own)):
                if self.counts[label]["train"] > 1 and self._move_one(self._texts([label])[label], split):
                    break

    def _texts(self, labels: list[str]) -> dict[str, list[tuple[int, str, list[str]]]]:
        """Return (rid, split, labels) of the texts of each of `labels`, in the order of their hashes."""
        self.connection.execute("CREATE TABLE lacking (own VARCHAR)")
        self.connection.executemany("INSERT INTO lacking VALUES (?)", [[label] for label in labels])
        each = _EACH.format(between=_between(self.settings), rows="kept WHERE label <> ''")
        rows = self.connection.execute(
            f"SELECT own, rid, split, label FROM kept JOIN ({each}) USING (rid) JOIN lacking USING (own) "
            "WHERE given IS NULL OR given = 'train' ORDER BY key, id"
        ).fetchall()
        self.connection.execute("DROP TABLE lacking")
        texts: dict[str, list[tuple[int, str, list[str]]]] = defaultdict(list)
        for own, rid, split, label in rows:
            several = self.settings.task == "multi_label"
            texts[own].append((rid, split, label.split(BETWEEN) if several else [label]))
        return texts

    def _move_one(self, texts: list[tuple[int, str, list[str]]], target: str) -> bool:
        """Move a text to `target`, if one is free: for train the first by hash, for others the last, the nearest."""
        ordered = texts if target == "train" else texts[::-1]
        here = [(rid, self.found.get(rid, split), labels) for rid, split, labels in ordered]
        free = [own for own in here if own[1] != target and all(self._spares(name, own[1]) for name in own[2])]
        from_train = [own for own in free if own[1] == "train"]
        chosen = (from_train or free or (here if target == "train" else []))[:1]
        for rid, split, labels in chosen:
            self.found[rid] = target
            for name in labels:
                self.counts[name][split] -= 1
                self.counts[name][target] += 1
        return bool(chosen)

    def _spares(self, label: str, split: str) -> bool:
        """Return whether `split` can do without one text of `label`."""
        counts = self.counts[label]
        needed = split == "train" or sum(counts.values()) >= _EVERYWHERE
        return counts[split] > 1 or not needed


def are_too_many(labels: int, texts: int) -> bool:
    """Return whether so many labels of so many texts look like numbers or names, and not like classes.

    Example:
        >>> are_too_many(90, 100), are_too_many(5, 10)
        (True, False)
    """
    return labels > max(10, texts / 2)


def _lacks(counts: dict[str, int], split: str) -> bool:
    return not counts[split] and (split == "train" or sum(counts.values()) >= _EVERYWHERE)


def _movable(connection: duckdb.DuckDBPyConnection) -> tuple[str, ...]:
    """Return the splits between which rows may move: those that the source does not give."""
    given = {name for (name,) in connection.execute("SELECT DISTINCT given FROM rows").fetchall()}
    if given <= {None}:
        return SPLITS
    drawn = tuple(split for split in SPLITS if split not in given)
    return ("train", *drawn) if drawn and "train" in given else ()


def _between(settings: IngestSettings) -> str:
    """Return the SQL literal that labels are split at; no label of a single-label task holds a NUL."""
    return literal(BETWEEN) if settings.task == "multi_label" else "chr(0)"


def _rewrite(connection: duckdb.DuckDBPyConnection, table: str, name: str) -> None:
    """Replace the labels in `table` by `name` in texts that have several, or remove them; `name` comes once."""
    between = literal(BETWEEN)
    kept = f"list_filter(string_split(label, {between}), lambda one: NOT list_contains(gone, one))"
    if name:
        kept = f"list_distinct({kept} || ['{name}'])"
    connection.execute(f"""
        UPDATE rows SET label = array_to_string(list_sort({kept}), {between})
        FROM (SELECT coalesce(list(own), []) AS gone FROM {table})
        WHERE reason IS NULL AND list_has_any(string_split(label, {between}), gone)
    """)
