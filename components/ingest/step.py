"""The ingest step: source in; dataset and rejected rows out. The work is SQL in one DuckDB."""

import shutil
import tempfile
from pathlib import Path

import duckdb

from berth.data.dataset import Manifest
from berth.errors import BerthError
from components.ingest import database
from components.ingest.corrections import correct
from components.ingest.rows.copies import drop_copies
from components.ingest.rows.near_duplicates import find_near_duplicates
from components.ingest.rows.reading import read_rows
from components.ingest.settings import IngestSettings
from components.ingest.sources.files import Rows
from components.ingest.sources.source import check_unchanged, open_rows
from components.ingest.splits.assignment import assign_splits, sample
from components.ingest.splits.manifest import check, make_manifest
from components.ingest.splits.notes import notes_on_rows
from components.ingest.splits.rare_labels import apply_policy
from components.ingest.splits.writing import write_rejected, write_splits


def ingest_source(settings: IngestSettings, dataset: str | Path, rejected: str | Path) -> Manifest:
    """Read the source; write the dataset to the folder `dataset`, and rejected or changed rows to the file `rejected`.

    With split.by text, a row's split depends only on its normalised form (NFC, lower case, white space as one space)
    and the seed. `rejected` is Parquet with the columns file, row (1-based, header not counted), action (`rejected` or
    `changed`), reason, label and text; a row that two rules changed appears twice.

    Raises:
        BerthError: the source cannot be read, or a classifier cannot be trained on its data.
    """
    name = settings.source.files or "source"
    try:
        with tempfile.TemporaryDirectory(prefix="berth-ingest-", ignore_cleanup_errors=True) as scratch:
            rows = open_rows(settings, Path(scratch))
            name = rows.files[0].uri
            size = sum(file.path.stat().st_size for file in rows.files)
            with database.opened(settings.memory_limit, Path(scratch), size) as connection:
                manifest = _ingest(connection, rows, settings, Path(scratch), Path(dataset), Path(rejected))
        manifest.write(dataset)
    except BaseException as error:
        shutil.rmtree(dataset, ignore_errors=True)
        Path(rejected).unlink(missing_ok=True)
        if shortage := database.shortage(error):
            raise BerthError(f"{name}: {shortage}") from error
        raise
    return manifest


def _ingest(
    connection: duckdb.DuckDBPyConnection,
    rows: Rows,
    settings: IngestSettings,
    scratch: Path,
    dataset: Path,
    rejected: Path,
) -> Manifest:
    counts = read_rows(connection, rows, settings, scratch)
    corrected, lost = correct(connection, settings, scratch)
    drop_copies(connection, settings)
    rows.notes.extend(apply_policy(connection, settings))
    if settings.max_rows:
        sample(connection, settings)
    rows.notes.extend(assign_splits(connection, settings))
    cleaning, resembling = settings.cleaning, None
    if cleaning.near_duplicates:
        resembling = find_near_duplicates(connection, cleaning.near_duplicates, cleaning.keep_near_duplicates)
    manifest = make_manifest(connection, rows, counts, settings, resembling)
    check(rows.files[0].uri, settings.label_column, manifest)
    if settings.corrections:
        manifest.changed["label by corrections"] = corrected
        rows.notes.extend([lost] if lost else [])
    manifest.notes += [*rows.notes, *notes_on_rows(connection, rows.format, settings, manifest)]
    check_unchanged(rows)
    write_splits(connection, dataset, settings, scratch)
    write_rejected(connection, rows, counts, rejected)
    return manifest
