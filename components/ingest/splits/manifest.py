"""The manifest of a dataset, and the check that a classifier can be trained on it."""

import hashlib
import re
from dataclasses import asdict
from importlib.metadata import version

import duckdb

from berth.data.cleaning import TextRules
from berth.data.dataset import SPLITS, Manifest, SourceFile
from berth.errors import BerthError
from components.ingest.rows.cleaning import CHANGES
from components.ingest.rows.copies import DUPLICATE
from components.ingest.rows.sql import BETWEEN, slices
from components.ingest.settings import IngestSettings
from components.ingest.sources.files import Rows
from components.ingest.splits.assignment import NOT_SAMPLED
from components.ingest.splits.rare_labels import NOT_IN_TRAIN, are_too_many


def make_manifest(
    connection: duckdb.DuckDBPyConnection,
    rows: Rows,
    row_counts: list[int],
    settings: IngestSettings,
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
        duplicates=reasons.pop(DUPLICATE, 0),
        not_sampled=reasons.pop(NOT_SAMPLED, 0),
        rejected=reasons,
        changed={name: number for name, number in zip(CHANGES, changed, strict=True) if number},
        near_duplicates=resembling,
        cleaning=asdict(TextRules.of(dict(settings.cleaning))),
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


def _content(settings: IngestSettings) -> str:
    """Return the query for what the splits hold: rows by split and label, and sums of their MD5s.

    Sums do not depend on the order of rows, and need constant memory.
    """
    hashed = "id"
    if names := slices(settings):
        hashed = f"md5_number(concat_ws(chr(31), id, {', '.join(names)}))"
    return f"""
    SELECT split, label, count(*), sum((hashed & 18446744073709551615)::UBIGINT), sum((hashed >> 64)::UBIGINT)
    FROM (SELECT split, label, {hashed} AS hashed FROM kept) GROUP BY ALL ORDER BY ALL
    """


def check(name: str, label_column: str, manifest: Manifest) -> None:
    """Raise BerthError if a classifier cannot be trained on the dataset."""
    _check_labels(name, label_column, manifest)
    labels, counts = manifest.labels, manifest.label_counts
    for split in SPLITS:
        if not manifest.rows[split]:
            total = sum(manifest.rows.values())
            if manifest.not_sampled and total < 3 * len(labels):
                raise BerthError(
                    f"max_rows: {total:,} texts are too few for {len(labels):,} labels: the {split} split is empty. "
                    f"Raise it to {10 * len(labels):,} or more."
                )
            if are_too_many(len(labels), total):
                raise BerthError(
                    f"{name}: the column {label_column!r} has {len(labels):,} different labels in {total:,} texts, "
                    f"such as {labels[0]!r}. A class needs several: name a column of classes, or ranges of numbers."
                )
            without = _left_out(manifest)
            advice = "other texts" if without else f"more, or a larger split.{split}"
            raise BerthError(f"the {split} split is empty: {total:,} texts are too few{without}. Give {advice}.")
    for label in labels:
        if label not in counts["train"]:
            raise BerthError(
                f"the class {label!r} has no text in the train split. Give more texts of it, or another split.seed."
            )


def _check_labels(name: str, label_column: str, manifest: Manifest) -> None:
    labels, counts = manifest.labels, manifest.label_counts
    if not labels and any(manifest.rows.values()):
        raise BerthError(f"{name}: every list of labels in the column {label_column!r} is empty. Check label_column.")
    if not labels:
        reasons = ", ".join(f"{number:,} {reason}" for reason, number in manifest.rejected.items()) or "there are none"
        times = manifest.rejected.get("unreadable time", 0) > manifest.rows_read / 2
        advice = "Set split.time_format, or check split.column." if times else "Check text_column and label_column."
        if manifest.rejected.get(NOT_IN_TRAIN, 0) > manifest.rows_read / 2:
            advice = "None is in the train split: check split.column, or the files that the source gives for train."
        raise BerthError(f"{name}: none of its {manifest.rows_read:,} rows is usable: {reasons}. {advice}")
    if len(labels) == 1:
        are_lists = sum(counts[split].get(labels[0], 0) for split in SPLITS) < sum(manifest.rows.values())
        advice = "Write 'yes' or 'no' in place of lists, without task: multi_label"
        advice = advice if are_lists else "Give texts of others"
        raise BerthError(
            f"{name}: the column {label_column!r} holds one class only, {labels[0]!r}. A classifier needs two or more. "
            f"{advice}."
        )
    if broken := [label for label in labels if label.splitlines() != [label]]:
        raise BerthError(f"{name}: the class {broken[0]!r} has a line break in it. Rename it with label_map.")
    if manifest.task == "single_label" and all(re.fullmatch(r"\[.*\]", label) for label in labels):
        raise BerthError(
            f"{name}: the labels are lists, such as {labels[0]!r}. Set 'task: multi_label', or write one label a row."
        )


def _left_out(manifest: Manifest) -> str:
    """Return how many rows were copies, or nearly, in words: of the other files, perhaps."""
    copies, resembling = manifest.duplicates, 0 if manifest.near_duplicates_kept else manifest.near_duplicates or 0
    found = [f"{copies:,} copies of texts that are there already"] if copies else []
    if resembling:
        found.append(f"{resembling:,} that resemble one of another split (cleaning.keep_near_duplicates keeps them)")
    return f" without {' and '.join(found)}" if found else ""
