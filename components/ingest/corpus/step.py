"""The ingest_corpus step: source in; a corpus of documents and the rejected ones out. The work is SQL in one DuckDB."""

import shutil
import tempfile
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import duckdb

from berth.data import corpus as layout
from berth.data.corpus import HELD_OUT, TRAIN, CorpusManifest
from berth.data.dataset import SourceFile
from berth.errors import BerthError
from components.ingest import database
from components.ingest.corpus import exclusion
from components.ingest.corpus.documents import TEXT, store_documents
from components.ingest.corpus.sentences import sentences
from components.ingest.rows.cleaning import CHANGES
from components.ingest.rows.copies import drop_copies
from components.ingest.rows.near_duplicates import find_near_duplicates
from components.ingest.rows.reading import read_rows
from components.ingest.settings import CorpusSettings
from components.ingest.sources.files import File, Rows
from components.ingest.sources.source import check_unchanged, open_rows
from components.ingest.splits.writing import write_rejected

_BATCH = 1_000
"""Documents per batch from DuckDB: one may be long."""
_FEW_HELD_OUT = 100_000
"""Characters: the masked tokens of fewer, about 3,000, give rough figures."""
_LIKE_LABELS = 0.02
_LONGEST_LABEL = 60


def ingest_documents(settings: CorpusSettings, corpus: str | Path, rejected: str | Path) -> CorpusManifest:
    """Read the source; write the corpus to the folder `corpus`, and rejected or changed documents to `rejected`.

    Whether a document is held out depends only on its normalised text. `rejected` is Parquet, as ingest's.

    Raises:
        BerthError: the source cannot be read, or an encoder cannot be trained on its documents.
    """
    name = settings.source.files or "source"
    _check(settings)
    try:
        with (
            tempfile.TemporaryDirectory(prefix="berth-ingest-", ignore_cleanup_errors=True) as folder,
            database.opened(settings.memory_limit, Path(folder)) as connection,
        ):
            return _ingest(connection, settings, Path(folder), Path(corpus), Path(rejected))
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


def _ingest(
    connection: duckdb.DuckDBPyConnection, settings: CorpusSettings, scratch: Path, corpus: Path, rejected: Path
) -> CorpusManifest:
    asked = settings
    if settings.documents == "row":
        rows = open_rows(settings, scratch)
        files = rows.files
    else:
        rows, files = store_documents(settings, scratch)
        settings = settings.model_copy(update={"documents": "row", "text_column": TEXT, "columns": [], "encoding": ""})
    counts = read_rows(connection, rows, settings, scratch)
    drop_copies(connection, settings)
    _check_values(connection, rows, settings)
    excluded = exclusion.exclude(connection, settings, scratch)
    # At least one document is held out: the one whose key is lowest.
    share = "((key >> 12) / 16.0 ** 13)"
    least = f"(SELECT min({share}) FROM rows WHERE reason IS NULL)"
    connection.execute(f"""
        CREATE VIEW kept AS SELECT rowid AS rid, *,
            CASE WHEN {share} < {settings.held_out} OR {share} = {least} THEN '{HELD_OUT}' ELSE '{TRAIN}' END AS split
        FROM rows WHERE reason IS NULL
    """)
    cleaning, resembling = settings.cleaning, 0
    if cleaning.near_duplicates:
        keep = cleaning.keep_near_duplicates
        resembling = find_near_duplicates(connection, cleaning.near_duplicates, keep, within_splits=True)
    facts = _facts(connection, files, sum(counts), asked)
    notes = rows.notes
    if resembling and cleaning.keep_near_duplicates:
        notes.append(f"{resembling:,} documents resemble an earlier one, and stay: keep_near_duplicates is set.")
    if not cleaning.near_duplicates:
        notes.append("near-duplicates were not looked for: cleaning.near_duplicates is 0.")
    check_unchanged(Rows(files, rows.format, rows.columns, rows.has_header))
    documents = {split: _documents(connection, split) for split in layout.SPLITS}
    manifest = layout.write(corpus, documents, **facts, excluded=excluded, notes=notes)
    write_rejected(connection, rows, counts, rejected)
    return manifest


def _check_values(connection: duckdb.DuckDBPyConnection, rows: Rows, settings: CorpusSettings) -> None:
    """Raise unless there are documents, and they are not what labels are: few values that many rows have."""
    kept, total, longest = connection.execute(
        "SELECT count(*) FILTER (reason IS NULL), count(*), max(length(text)) FILTER (reason IS NULL) FROM rows"
    ).fetchall()[0]
    name = rows.files[0].uri
    if kept < 2:
        reasons = connection.execute("SELECT reason, count(*) FROM rows WHERE reason <> '' GROUP BY 1 ORDER BY 1")
        why = ", ".join(f"{number:,} {reason}" for reason, number in reasons.fetchall()) or "there are no more"
        raise BerthError(
            f"{name}: {kept} of its {total:,} documents {'is' if kept == 1 else 'are'} usable: {why}. Pre-training "
            "needs two at least, and thousands to be of use. Check source, text_column and documents."
        )
    if total >= 100 and kept <= total * _LIKE_LABELS and longest <= _LONGEST_LABEL:
        raise BerthError(
            f"text_column: {settings.text_column!r} has {kept:,} different values in {total:,} rows, as labels have. "
            "Name the column with the texts."
        )


def _documents(connection: duckdb.DuckDBPyConnection, split: str) -> Iterator[list[str]]:
    """Yield the sentences of each document of `split`, in the order of the keys: that of the source does not count."""
    # Two numbers of 64 bits: DuckDB sorts them several times faster than longer keys.
    order = "key, (id & 18446744073709551615)::UBIGINT"
    query = f"SELECT {sentences('text')} AS sentences FROM kept WHERE split = '{split}' ORDER BY {order}"
    # Its own cursor: the other split's query may still be open.
    for batch in connection.cursor().sql(query).to_arrow_reader(_BATCH):
        yield from batch["sentences"].to_pylist()


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
        "dropped": {reason: number for reason, number in reasons if not reason.startswith(exclusion.REASON)},
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
        notes.append(
            f"held_out: {held_out:,} documents of {manifest.characters[HELD_OUT]:,} characters are few, and what is "
            "measured on them is rough. Raise held_out, or give more text."
        )
    if manifest.of_one_sentence > documents / 2:
        notes.append(
            f"documents: {manifest.of_one_sentence:,} of {documents:,} have one sentence, and next sentence prediction "
            "finds no neighbours in them. Set nsp: false, or documents: file or blank_line."
        )
    return notes
