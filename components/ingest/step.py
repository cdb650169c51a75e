"""The ingest step: a source in; a dataset, and the rows that are not in it, out. The work is SQL in one DuckDB."""

import errno
import hashlib
import itertools
import shutil
import tempfile
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from components.common.dataset import LABEL, PAIR, SPLITS, TEXT, Manifest, SourceFile, split_dir
from components.common.errors import BerthError
from components.ingest.near_duplicates import find_near_duplicates
from components.ingest.reading import BETWEEN, CHANGES, NO_ROOM, UNDECODABLE, lack, literal, read_rows, slices
from components.ingest.settings import Settings
from components.ingest.shards import Shards
from components.ingest.source import Rows, check_unchanged, open_rows

if TYPE_CHECKING:
    import duckdb

_DUPLICATE = "duplicate"
_NOT_SAMPLED = "left out by max_rows"
_BATCH = 20_000
"""Rows that come out of DuckDB at a time."""


def ingest_source(settings: Settings, dataset: str | Path, rejected: str | Path) -> Manifest:
    """Read the source and write the dataset to the folder `dataset`, and what is not in it to the file `rejected`.

    By text, a row's split depends on its normalised form (NFC, lower case, runs of white space as one space) and the
    seed alone. `rejected` is Parquet with the columns file, row (1-based, header not counted), action (`rejected` or
    `changed`), reason, label and text; a row that two rules changed is there twice.

    Raises:
        BerthError: the source cannot be read, or holds no data that a classifier can learn from.
    """
    import duckdb

    name = settings.source.files or "source"
    try:
        with tempfile.TemporaryDirectory(prefix="berth-ingest-", ignore_cleanup_errors=True) as scratch:
            rows = open_rows(settings, Path(scratch))
            name = rows.files[0].uri
            # Everything that is needed is built in; an extension would be a download.
            with duckdb.connect(config={"autoinstall_known_extensions": "false"}) as connection:
                manifest = _ingest(connection, rows, settings, Path(scratch), Path(dataset), Path(rejected))
        manifest.write(dataset)
    except BaseException as error:
        shutil.rmtree(dataset, ignore_errors=True)
        Path(rejected).unlink(missing_ok=True)
        full = isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)
        if shortage := NO_ROOM if full else lack(error) if isinstance(error, duckdb.Error) else "":
            raise BerthError(f"{name}: {shortage}") from error
        raise
    return manifest


def _ingest(
    connection: "duckdb.DuckDBPyConnection",
    rows: Rows,
    settings: Settings,
    scratch: Path,
    dataset: Path,
    rejected: Path,
) -> Manifest:
    import duckdb

    connection.execute(f"SET temp_directory = {literal(str(scratch / 'spilled'))}; SET enable_progress_bar = false")
    try:
        connection.execute(f"SET memory_limit = {literal(settings.memory_limit)}")
    except duckdb.Error:
        raise BerthError(
            f"memory_limit: {settings.memory_limit!r} is no size. Write one such as 1GB or 800MB."
        ) from None
    counts = read_rows(connection, rows, settings, scratch)
    _drop_copies(connection, settings)
    if settings.max_rows:
        _sample(connection, settings)
    _deal_out(connection, settings)
    cleaning, resembling = settings.cleaning, None
    if cleaning.near_duplicates:
        resembling = find_near_duplicates(connection, cleaning.near_duplicates, cleaning.keep_near_duplicates)
    manifest = _manifest(connection, rows, counts, settings, resembling)
    _check(rows.files[0].uri, settings.label_column, manifest)
    check_unchanged(rows)
    _write_splits(connection, dataset, settings, manifest.rows)
    _write_rejected(connection, rows, counts, rejected)
    return manifest


def _drop_copies(connection: "duckdb.DuckDBPyConnection", settings: Settings) -> None:
    """Make one text one row: the first of its copies stays, unless they carry different labels.

    Of copies in several slices the values that sort first stay, whatever the order of the source. The first query looks
    for copies with as little as can be; the others have few rows to do with.
    """
    names = slices(settings)
    least = ", min({" + ", ".join(f"{name}: {name}" for name in names) + "}) AS least" if names else ""
    connection.execute(f"""
        CREATE TABLE copied AS SELECT id FROM rows WHERE reason IS NULL GROUP BY id HAVING count(*) > 1;
        CREATE TABLE copies AS
        SELECT id, min(rows.rowid) AS first, min(label) <> max(label) AS conflicting{least}
        FROM rows JOIN copied USING (id) WHERE reason IS NULL GROUP BY id;
        UPDATE rows SET reason = CASE WHEN conflicting THEN 'conflicting labels' ELSE '{_DUPLICATE}' END FROM copies
        WHERE rows.id = copies.id AND reason IS NULL AND (conflicting OR rows.rowid <> first);
    """)
    if names:
        values = ", ".join(f"{name} = least.{name}" for name in names)
        connection.execute(f"UPDATE rows SET {values} FROM copies WHERE rows.id = copies.id AND reason IS NULL")
    connection.execute("DROP TABLE copied; DROP TABLE copies")


def _sample(connection: "duckdb.DuckDBPyConnection", settings: Settings) -> None:
    """Keep max_rows texts, the same ones whatever the order of the source; stratified: the labels' shares stay."""
    if not settings.stratified:
        chosen = f"SELECT rowid FROM rows WHERE reason IS NULL ORDER BY hash(key), id LIMIT {settings.max_rows}"
    else:
        chosen = f"""
        SELECT rid FROM (
            SELECT rowid AS rid, row_number() OVER (PARTITION BY label ORDER BY hash(key), id) AS place,
                count(*) OVER (PARTITION BY label) AS per_label, count(*) OVER () AS total
            FROM rows WHERE reason IS NULL
        ) WHERE place <= greatest(1, round(per_label * least(1, {settings.max_rows} / total)))"""
    connection.execute(f"UPDATE rows SET reason = '{_NOT_SAMPLED}' WHERE reason IS NULL AND rowid NOT IN ({chosen})")


def _deal_out(connection: "duckdb.DuckDBPyConnection", settings: Settings) -> None:
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
        dealt = f"CASE WHEN {share} < {split.train} THEN 'train' WHEN {share} < {split.train + split.validation} "
        dealt += "THEN 'validation' ELSE 'test' END"
        chosen = f"coalesce({_given(connection, share, settings)}, {dealt})"
    connection.execute(f"CREATE VIEW kept AS SELECT rowid AS rid, *, {chosen} AS split FROM rows WHERE reason IS NULL")


def _given(connection: "duckdb.DuckDBPyConnection", share: str, settings: Settings) -> str:
    """Return the SQL expression of the split that the source gives; a split that it lacks is dealt out of train."""
    there = {name for (name,) in connection.execute("SELECT DISTINCT given FROM rows").fetchall()}
    if there <= {None}:
        return "given"
    split, cases, end = settings.split, "", 0.0
    for name, fraction in (("validation", split.validation), ("test", split.test)):
        if name not in there:
            end += fraction
            cases += f"WHEN given = 'train' AND {share} < {end} THEN '{name}' "
    return f"CASE {cases} ELSE given END" if cases else "given"


def _manifest(
    connection: "duckdb.DuckDBPyConnection",
    rows: Rows,
    row_counts: list[int],
    settings: Settings,
    resembling: int | None,
) -> Manifest:
    content = connection.execute(_content(settings)).fetchall()
    counts: dict[str, dict[str, int]] = {split: {} for split in SPLITS}
    sizes = dict.fromkeys(SPLITS, 0)
    for split, label, number, *_ in content:
        sizes[split] += number
        for name in filter(None, label.split(BETWEEN)):
            counts[split][name] = counts[split].get(name, 0) + number
    reasons = dict(
        connection.execute(
            "SELECT reason, count(*) FROM rows WHERE reason IS NOT NULL GROUP BY 1 ORDER BY 1"
        ).fetchall()
    )
    changed = connection.execute(
        "SELECT "
        + ", ".join(f"count(*) FILTER (changes & {1 << bit} > 0)" for bit in range(len(CHANGES)))
        + " FROM rows"
    ).fetchall()[0]
    return Manifest(
        sources=[
            SourceFile(uri=file.uri, size=file.size, version=file.version, rows=number)
            for file, number in zip(rows.files, row_counts, strict=True)
        ],
        rows_read=sum(row_counts),
        duplicates=reasons.pop(_DUPLICATE, 0),
        not_sampled=reasons.pop(_NOT_SAMPLED, 0),
        rejected=reasons,
        changed={name: number for name, number in zip(CHANGES, changed, strict=True) if number},
        near_duplicates=resembling,
        near_duplicates_kept=settings.cleaning.keep_near_duplicates,
        task=settings.task,
        pairs=bool(settings.text_pair_column),
        slice_columns=settings.slice_columns,
        labels=sorted(set().union(*counts.values()), key=lambda name: name.encode()),
        rows=sizes,
        label_counts=counts,
        fingerprint=hashlib.sha256(repr([*settings.slice_columns, *content]).encode()).hexdigest(),
        versions={package: version(package) for package in ("duckdb", "pyarrow")},
    )


def _content(settings: Settings) -> str:
    """Return the query for what the splits hold: rows by split and label, and sums of their MD5s.

    Sums, so that the order of rows does not count and memory does not grow with them.
    """
    hashed = "id"
    if names := slices(settings):
        hashed = f"md5_number(concat_ws(chr(31), id, {', '.join(names)}))"
    return f"""
    SELECT split, label, count(*), sum((hashed & 18446744073709551615)::UBIGINT), sum((hashed >> 64)::UBIGINT)
    FROM (SELECT split, label, {hashed} AS hashed FROM kept) GROUP BY ALL ORDER BY ALL
    """


def _check(name: str, label_column: str, manifest: Manifest) -> None:
    """Raise what a classifier cannot be trained on."""
    labels, counts = manifest.labels, manifest.label_counts
    if not labels:
        reasons = ", ".join(f"{number:,} {reason}" for reason, number in manifest.rejected.items()) or "there are none"
        raise BerthError(
            f"{name}: none of its {manifest.rows_read:,} rows is usable: {reasons}. Check text_column and label_column."
        )
    if len(labels) == 1:
        raise BerthError(
            f"{name}: the column {label_column!r} holds one class only, {labels[0]!r}. A classifier needs two or more."
        )
    if broken := [label for label in labels if label.splitlines() != [label]]:
        raise BerthError(f"{name}: the class {broken[0]!r} has a line break in it. Rename it with label_map.")
    for split in SPLITS:
        if not manifest.rows[split]:
            total = sum(manifest.rows.values())
            raise BerthError(
                f"the {split} split is empty: {total:,} texts are too few. Give more, or a larger split.{split}."
            )
    for label in labels:
        if label not in counts["train"]:
            raise BerthError(
                f"the class {label!r} has no text in the train split. Give more texts of it, or another split.seed."
            )


def _write_splits(
    connection: "duckdb.DuckDBPyConnection", dataset: Path, settings: Settings, sizes: dict[str, int]
) -> None:
    """Write the splits, of `sizes` rows, ordered by their keys, in shards of rows_per_shard; one sort serves all."""
    columns = [f"text AS {TEXT}"] + ([f"pair AS {PAIR}"] if settings.text_pair_column else [])
    if settings.task == "multi_label":
        columns.append(f"CASE WHEN label = '' THEN [] ELSE string_split(label, {literal(BETWEEN)}) END AS {LABEL}")
    else:
        columns.append(f"label AS {LABEL}")
    columns += slices(settings)
    rank = "(CASE split WHEN 'train' THEN 0 WHEN 'validation' THEN 1 ELSE 2 END)::UBIGINT"
    # Two numbers of 64 bits: DuckDB sorts them several times faster than anything longer.
    order = f"({rank} << 62) | (key >> 2), (id & 18446744073709551615)::UBIGINT"
    reader = connection.sql(f"SELECT {', '.join(columns)} FROM kept ORDER BY {order}").to_arrow_reader(
        min(settings.rows_per_shard, _BATCH)
    )
    names = [name for name in reader.schema.names if name not in slices(settings)] + settings.slice_columns
    with ThreadPoolExecutor() as pool:
        shards = [Shards(split_dir(dataset, split), settings.rows_per_shard, pool) for split in SPLITS]
        place, left = 0, sizes[SPLITS[0]]
        for batch in reader:
            batch = batch.rename_columns(names)
            while batch.num_rows:
                while not left:
                    place += 1
                    left = sizes[SPLITS[place]]
                shards[place].add(batch.slice(0, left))
                taken = min(left, batch.num_rows)
                left, batch = left - taken, batch.slice(taken)
        for target in shards:
            target.close()


def _write_rejected(connection: "duckdb.DuckDBPyConnection", rows: Rows, counts: list[int], path: Path) -> None:
    """Write the rows that a rule took away or changed, in the order of the source."""
    path.parent.mkdir(parents=True, exist_ok=True)
    starts = itertools.accumulate([0, *counts[:-1]])
    files = ", ".join(
        f"({number}, {literal(file.uri)}, {start})"
        for number, (file, start) in enumerate(zip(rows.files, starts, strict=True))
    )
    changes = (
        "["
        + ", ".join(f"CASE WHEN changes & {1 << bit} > 0 THEN {literal(name)} END" for bit, name in enumerate(CHANGES))
        + "]"
    )
    connection.execute(f"""
    COPY (
        SELECT uri AS file, rid - start + 1 AS row, action, why AS reason, {_shown("label")}, {_shown("text")}
        FROM (
            SELECT rowid AS rid, file, 'rejected' AS action, reason AS why, label, text
            FROM rows WHERE reason IS NOT NULL AND reason <> '{_NOT_SAMPLED}'
            UNION ALL BY NAME
            SELECT rid, file, 'changed' AS action, why, label, text
            FROM (SELECT rowid AS rid, *, unnest({changes}) AS why FROM rows WHERE changes > 0) WHERE why IS NOT NULL
        ) JOIN (VALUES {files}) AS files(number, uri, start) ON number = file
        ORDER BY rid, action, why
    ) TO {literal(str(path))} (FORMAT parquet, COMPRESSION zstd)
    """)


def _shown(column: str) -> str:
    """Return the SQL expression of `column` with the replacement character for what is not UTF-8."""
    return f"replace({column}, {literal(UNDECODABLE)}, chr(65533)) AS {column}"
