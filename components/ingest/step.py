"""The ingest step: a source in; a dataset and the rejected rows out. The work is SQL in one DuckDB process."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from components.common.dataset import SPLITS, Manifest, split_dir
from components.common.errors import BerthError
from components.ingest.reading import UNDECODABLE, literal, read_raw
from components.ingest.source import find_source

if TYPE_CHECKING:
    import duckdb


@dataclass(frozen=True)
class Fractions:
    """How rows are divided; the fields are RunConfig's section `split`."""

    train: float
    validation: float
    test: float
    seed: int

    @classmethod
    def of(cls, split: Mapping[str, float]) -> "Fractions":
        """Return the fractions of a pipeline parameter, in which KFP makes every number a float."""
        return cls(split["train"], split["validation"], split["test"], int(split["seed"]))


# Two texts that differ in case, white space or Unicode form only are kept apart but always share a split.
_NORMALISED = r"lower(trim(regexp_replace(nfc_normalize(text), '[\s\p{Z}]+', ' ', 'g')))"

_CLEAN = """
CREATE TABLE judged AS
SELECT *,
    CASE
        WHEN contains(coalesce(text, ''), $mark) OR contains(coalesce(label, ''), $mark) THEN 'undecodable bytes'
        WHEN text IS NULL OR trim(text, $blanks) = '' THEN 'empty text'
        WHEN label IS NULL OR label = '' THEN 'missing label'
    END AS reason
FROM (SELECT file, file_number, row, text, trim(label, $blanks) AS label FROM raw);

CREATE TABLE conflicts AS
SELECT text FROM judged WHERE reason IS NULL GROUP BY text HAVING count(DISTINCT label) > 1;

UPDATE judged SET reason = 'conflicting labels' WHERE reason IS NULL AND text IN (SELECT text FROM conflicts);

CREATE TABLE kept AS
SELECT text, label, key,
    CASE WHEN share < $train THEN 'train' WHEN share < $train_validation THEN 'validation' ELSE 'test' END AS split
FROM (
    SELECT text, label, key, CAST('0x' || key[:13] AS BIGINT) / 16.0 ** 13 AS share
    FROM (
        SELECT text, any_value(label) AS label, sha256($seed || '|' || NORMALISED) AS key
        FROM judged WHERE reason IS NULL GROUP BY text
    )
);
""".replace("NORMALISED", _NORMALISED)

# A sum of row hashes: it does not depend on the order of rows, and takes no memory that grows with them.
_FINGERPRINT = """
SELECT sha256(concat_ws('|', count(*), sum(part(h, 1)), sum(part(h, 16)), sum(part(h, 31)), sum(part(h, 46))))
FROM (SELECT sha256(split || chr(31) || label || chr(31) || text) AS h FROM kept)
"""
# What str.isspace() calls white space, and the characters that have no width.
_BLANKS = "\t\n\v\f\r\x1c\x1d\x1e\x1f \x85\xa0\u1680" + "".join(map(chr, range(0x2000, 0x200B))) + "\u2028\u2029\u202f"
_BLANKS += "\u205f\u3000" + "\u200b\u200c\u200d\u2060\ufeff"


def ingest_source(
    source: str,
    columns: list[str],
    text_column: str,
    label_column: str,
    fractions: Fractions,
    dataset: str | Path,
    rejected: str | Path,
) -> Manifest:
    """Read `source` and write the dataset to the folder `dataset` and the unusable rows to the Parquet file `rejected`.

    A text's split depends on its normalised form (NFC, lower case, runs of white space as one space) and the seed
    alone. The rejected rows have the columns file, row (1-based, header not counted), reason, label and text.

    Raises:
        BerthError: the source cannot be read, or holds no data that a classifier can learn from.
    """
    import duckdb

    found = find_source(source, columns, text_column, label_column)
    with duckdb.connect() as connection:
        read_raw(connection, found, text_column, label_column)
        _clean(connection, fractions)
        labels = [label for (label,) in connection.execute("SELECT DISTINCT label FROM kept ORDER BY label").fetchall()]
        counts = _counts(connection)
        rejections = dict(
            connection.execute(
                "SELECT reason, count(*) FROM judged WHERE reason IS NOT NULL GROUP BY 1 ORDER BY 1"
            ).fetchall()
        )
        rows_read = _number(connection, "SELECT count(*) FROM raw")
        usable = _number(connection, "SELECT count(*) FROM judged WHERE reason IS NULL")
        _check(found.files[0], label_column, labels, counts, rows_read, rejections)
        manifest = Manifest(
            source=source,
            rows_read=rows_read,
            duplicates=usable - _number(connection, "SELECT count(*) FROM kept"),
            rejected=rejections,
            labels=labels,
            rows={split: sum(counts[split].values()) for split in SPLITS},
            label_counts=counts,
            fingerprint=_fingerprint(connection),
        )
        for split in SPLITS:
            folder = split_dir(dataset, split)
            folder.mkdir(parents=True)
            _write(
                connection,
                f"SELECT text, label FROM kept WHERE split = {literal(split)} ORDER BY key, text",
                folder / "part-00000.parquet",
            )
        _write(
            connection,
            f"SELECT file, row, reason, {_shown('label')}, {_shown('text')} FROM judged WHERE reason IS NOT NULL "
            "ORDER BY file_number, row",
            Path(rejected),
        )
    manifest.write(dataset)
    return manifest


def _clean(connection: "duckdb.DuckDBPyConnection", fractions: Fractions) -> None:
    values: dict[str, Any] = {
        "mark": UNDECODABLE,
        "blanks": _BLANKS,
        "seed": str(fractions.seed),
        "train": fractions.train,
        "train_validation": fractions.train + fractions.validation,
    }
    for statement in filter(str.strip, _CLEAN.split(";")):
        used = {name: value for name, value in values.items() if f"${name}" in statement}
        connection.execute(statement, used)


def _counts(connection: "duckdb.DuckDBPyConnection") -> dict[str, dict[str, int]]:
    """Return the number of rows by split, then by label."""
    counts: dict[str, dict[str, int]] = {split: {} for split in SPLITS}
    for split, label, number in connection.execute(
        "SELECT split, label, count(*) FROM kept GROUP BY ALL ORDER BY ALL"
    ).fetchall():
        counts[split][label] = number
    return counts


def _check(
    file: Path,
    label_column: str,
    labels: list[str],
    counts: dict[str, dict[str, int]],
    rows_read: int,
    rejections: dict[str, int],
) -> None:
    """Raise what a classifier cannot be trained on."""
    if not labels:
        reasons = ", ".join(f"{number:,} {reason}" for reason, number in rejections.items()) or "there are none"
        raise BerthError(
            f"{file}: none of its {rows_read:,} rows is usable: {reasons}. Check text_column and label_column."
        )
    if len(labels) == 1:
        raise BerthError(
            f"{file}: the column {label_column!r} holds one class only, {labels[0]!r}. A classifier needs two or more."
        )
    for split in SPLITS:
        if not counts[split]:
            total = sum(sum(found.values()) for found in counts.values())
            raise BerthError(
                f"the {split} split is empty: {total:,} texts are too few. Give more, or a larger split.{split}."
            )
    for label in labels:
        if label not in counts["train"]:
            raise BerthError(
                f"the class {label!r} has no text in the train split. Give more texts of it, or another split.seed."
            )


def _fingerprint(connection: "duckdb.DuckDBPyConnection") -> str:
    connection.execute("CREATE MACRO part(h, start) AS CAST('0x' || substr(h, start, 15) AS HUGEINT)")
    (fingerprint,) = connection.execute(_FINGERPRINT).fetchone() or ("",)
    return str(fingerprint)


def _shown(column: str) -> str:
    """Return the SQL expression of `column` with the replacement character for what is not UTF-8."""
    return f"replace({column}, {literal(UNDECODABLE)}, chr(65533)) AS {column}"


def _number(connection: "duckdb.DuckDBPyConnection", query: str) -> int:
    (number,) = connection.execute(query).fetchone() or (0,)
    return int(number)


def _write(connection: "duckdb.DuckDBPyConnection", query: str, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    connection.execute(f"COPY ({query}) TO {literal(str(path))} (FORMAT parquet, COMPRESSION zstd)")
