"""The ingest_corpus step: source in; a corpus of documents and the rejected ones out. The work is SQL in one DuckDB."""

import shutil
import tempfile
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

import duckdb

from berth.data import corpus as layout
from berth.data.corpus import HELD_OUT, TRAIN, CorpusManifest
from berth.data.dataset import SourceFile
from berth.errors import BerthError
from berth.pretraining.settings import FEWEST_TO_COMPARE
from components.ingest import database
from components.ingest.corpus import exclusion, near_test_texts
from components.ingest.corpus.documents import TEXT, store_documents
from components.ingest.corpus.parts import in_parts
from components.ingest.corpus.sentences import sentences
from components.ingest.rows.cleaning import CHANGES
from components.ingest.rows.copies import drop_copies
from components.ingest.rows.near_duplicates import find_near_duplicates
from components.ingest.rows.reading import read_rows
from components.ingest.settings import CorpusSettings
from components.ingest.sources.files import File, Rows
from components.ingest.sources.source import check_unchanged, open_rows
from components.ingest.splits.writing import write_rejected

_FEWEST_HELD_OUT = 2
"""Documents: what is measured on one has no interval."""
_FEWEST = _FEWEST_HELD_OUT + 2
"""Documents: sentence pairs of the train split need two."""
_FEW_HELD_OUT = 100_000
"""Characters: the masked tokens of fewer, about 3,000, give rough figures."""
_OF_TEST_TEXTS = (exclusion.REASON, near_test_texts.REASON)
_MANY, _LIKE_LABELS, _LONGEST_LABEL = 100, 0.02, 60
"""Rows from which on few different values, and none longer than so many characters, are labels."""


def ingest_documents(settings: CorpusSettings, corpus: str | Path, rejected: str | Path) -> CorpusManifest:
    """Read the source; write the corpus to the folder `corpus`, and rejected or changed documents to `rejected`.

    Whether a document is held out depends only on its normalised text. `rejected` is Parquet, as ingest's.

    Raises:
        BerthError: the source cannot be read, or an encoder cannot be trained on its documents.
    """
    name = settings.source.files or "source"
    _check(settings)
    try:
        with tempfile.TemporaryDirectory(prefix="berth-ingest-", ignore_cleanup_errors=True) as folder:
            source = _opened(settings, Path(folder))
            size = sum(file.path.stat().st_size for file in source.rows.files)
            with database.opened(settings.memory_limit, Path(folder), size) as connection:
                return _ingest(connection, settings, source, Path(folder), Path(corpus), Path(rejected))
    except BaseException as error:
        shutil.rmtree(corpus, ignore_errors=True)
        Path(rejected).unlink(missing_ok=True)
        if shortage := database.shortage(error):
            raise BerthError(f"{name}: {shortage}") from error
        raise


def _check(settings: CorpusSettings) -> None:
    source = settings.source
    if source.train:
        raise BerthError("source: a corpus has no splits of its own. Give files, and hold documents out with held_out.")
    if settings.documents != "row" and source.sql:
        raise BerthError(f"documents: {settings.documents} is for text files; a query's rows are documents: row.")


class _Source(NamedTuple):
    rows: Rows
    """The documents, a row each."""
    files: list[File]
    """What they are from."""
    settings: CorpusSettings
    """How the rows are read."""


def _opened(settings: CorpusSettings, scratch: Path) -> _Source:
    if settings.documents == "row":
        rows = open_rows(settings, scratch)
        return _Source(rows, rows.files, settings)
    as_rows = {"documents": "row", "text_column": TEXT, "columns": [], "encoding": ""}
    return _Source(*store_documents(settings, scratch), settings.model_copy(update=as_rows))


def _ingest(
    connection: duckdb.DuckDBPyConnection,
    asked: CorpusSettings,
    source: _Source,
    scratch: Path,
    corpus: Path,
    rejected: Path,
) -> CorpusManifest:
    rows, files, settings = source
    counts = read_rows(connection, rows, settings, scratch)
    drop_copies(connection, settings)
    _check_for_labels(connection, settings)
    excluded, nearly, unread = exclusion.exclude(connection, settings, scratch)
    cleaning, resembling = settings.cleaning, 0
    if cleaning.near_duplicates:
        _hold_out(connection, settings.held_out, 0)
        keep = cleaning.keep_near_duplicates
        resembling = find_near_duplicates(connection, cleaning.near_duplicates, keep, within_splits=True)
    _hold_out(connection, settings.held_out, _check_number(connection, rows.files[0].uri))
    facts = _facts(connection, files, sum(counts), asked)
    notes = [*rows.notes, *unread]
    if resembling and cleaning.keep_near_duplicates:
        notes.append(f"{resembling:,} documents resemble an earlier one, and stay: keep_near_duplicates is set.")
    if not cleaning.near_duplicates:
        notes.append("near-duplicates were not looked for: cleaning.near_duplicates is 0.")
    check_unchanged(Rows(files, rows.format, rows.columns, rows.has_header))
    documents = {split: _documents(connection, split) for split in layout.SPLITS}
    manifest = layout.write(corpus, documents, **facts, excluded=excluded, excluded_near_duplicates=nearly, notes=notes)
    write_rejected(connection, rows, counts, rejected)
    return manifest


def _check_for_labels(connection: duckdb.DuckDBPyConnection, settings: CorpusSettings) -> None:
    """Raise if the documents are what labels are: few short values that many rows have."""
    usable = "count(*) FILTER (reason IS NULL), max(length(text)) FILTER (reason IS NULL)"
    values, longest, total = connection.execute(f"SELECT {usable}, count(*) FROM rows").fetchall()[0]
    if total >= _MANY and 0 < values <= total * _LIKE_LABELS and longest <= _LONGEST_LABEL:
        raise BerthError(
            f"text_column: {settings.text_column!r} has {values:,} different values in {total:,} rows, as labels have. "
            "Name the column with the texts."
        )


def _check_number(connection: duckdb.DuckDBPyConnection, name: str) -> int:
    """Return the key up to which documents are held out in any case, so that there are _FEWEST_HELD_OUT of them."""
    keys = connection.execute(f"SELECT key FROM rows WHERE reason IS NULL ORDER BY key LIMIT {_FEWEST}").fetchall()
    if len(keys) == _FEWEST:
        return int(keys[_FEWEST_HELD_OUT - 1][0])
    reasons = connection.execute(
        "SELECT coalesce(reason, 'usable'), count(*) FROM rows GROUP BY 1, reason ORDER BY reason IS NOT NULL, 1"
    ).fetchall()
    found = ", ".join(f"{number:,} {reason}" for reason, number in reasons) or "none"
    raise BerthError(
        f"{name}: too few documents ({found}). Pre-training needs {_FEWEST} at least, and thousands to be of use. "
        "Check source, text_column and documents."
    )


def _hold_out(connection: duckdb.DuckDBPyConnection, share: float, least: int) -> None:
    """Create the view `kept`: the documents that stay, with rid and split."""
    drawn = f"(key >> 12) / 16.0 ** 13 < {share} OR key <= {least}"
    connection.execute(f"""
        CREATE OR REPLACE VIEW kept AS
        SELECT rowid AS rid, *, CASE WHEN {drawn} THEN '{HELD_OUT}' ELSE '{TRAIN}' END AS split
        FROM rows WHERE reason IS NULL
    """)


def _documents(connection: duckdb.DuckDBPyConnection, split: str) -> Iterator[list[str]]:
    """Yield the sentences of each document of `split`, in the order of the keys: that of the source does not count."""
    # Two numbers of 64 bits: DuckDB sorts them several times faster than longer keys.
    order = "key, (id & 18446744073709551615)::UBIGINT"
    query = f"SELECT text FROM kept WHERE split = '{split}' ORDER BY {order}"
    for (found,) in in_parts(connection, query, f"SELECT {sentences('text')} FROM part"):
        yield found


def _facts(
    connection: duckdb.DuckDBPyConnection, files: list[File], read: int, settings: CorpusSettings
) -> dict[str, object]:
    reasons = connection.execute(
        "SELECT reason, count(*) FROM rows WHERE reason IS NOT NULL GROUP BY 1 ORDER BY 1"
    ).fetchall()
    changes = ", ".join(f"count(*) FILTER (changes & {1 << bit} > 0)" for bit in range(len(CHANGES)))
    changed = connection.execute(f"SELECT {changes} FROM rows").fetchall()[0]
    return {
        "read": read,
        "dropped": {reason: number for reason, number in reasons if not reason.startswith(_OF_TEST_TEXTS)},
        "changed": {name: number for name, number in zip(CHANGES, changed, strict=True) if number},
        "settings": settings.parameters(),
        "sources": [SourceFile(uri=file.uri, size=file.size, version=file.version, rows=-1) for file in files],
        "versions": {package: version(package) for package in ("duckdb", "pyarrow")},
    }


def notes_on(manifest: CorpusManifest) -> list[str]:
    """Return what may be wrong with a corpus, one line each."""
    notes = list(manifest.notes)
    held_out, documents = manifest.documents[HELD_OUT], manifest.documents[TRAIN]
    if manifest.characters[HELD_OUT] < _FEW_HELD_OUT:
        fails = f", and must_improve needs {FEWEST_TO_COMPARE}" if held_out < FEWEST_TO_COMPARE else ""
        notes.append(
            f"held_out: {held_out:,} documents of {manifest.characters[HELD_OUT]:,} characters are few, and what is "
            f"measured on them is rough{fails}. Raise held_out, or give more text."
        )
    if manifest.of_one_sentence > documents / 2:
        notes.append(
            f"documents: {manifest.of_one_sentence:,} of {documents:,} have one sentence, and next sentence prediction "
            "finds no neighbours in them. Set nsp: false, or documents: file or blank_line."
        )
    return notes
