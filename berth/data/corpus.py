"""The corpus layout that ingest_corpus writes and pre-training reads: documents of sentences, without labels.

<corpus>/manifest.json                   written last
<corpus>/train/part-00000.parquet        columns: document (int64, its number in the split),
<corpus>/held_out/part-00000.parquet              sentences (a list of strings)
"""

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import BaseModel

from berth.data.dataset import SourceFile

TRAIN, HELD_OUT = "train", "held_out"
SPLITS = (TRAIN, HELD_OUT)
DOCUMENT, SENTENCES = "document", "sentences"

_SCHEMA = pa.schema({DOCUMENT: pa.int64(), SENTENCES: pa.list_(pa.string())})
_GROUP_CHARACTERS, _GROUP_DOCUMENTS = 4_000_000, 10_000
"""A row group's size, at most but for its last document: what is in memory at a time."""
_SHARD_GROUPS = 64


class CorpusManifest(BaseModel):
    """The contents and the origin of a corpus."""

    documents: dict[str, int]
    """Documents by split."""
    sentences: dict[str, int]
    """Sentences by split."""
    characters: dict[str, int]
    """Characters by split."""
    of_one_sentence: int
    """Documents of the train split with a single sentence: next sentence prediction finds no neighbours in them."""
    digest: str
    """SHA-256 over the documents of all splits."""
    read: int = 0
    """Documents in the source, usable or not."""
    dropped: dict[str, int] = {}
    """Documents left out, by reason."""
    changed: dict[str, int] = {}
    """Documents whose text a cleaning rule changed, by rule."""
    excluded: dict[str, int] = {}
    """Documents left out because they hold a test text, by what `exclude` names."""
    excluded_near_duplicates: dict[str, int] = {}
    """Further ones that hold a near-duplicate of one, by the dataset that `exclude` names."""
    settings: dict[str, Any] = {}
    """The settings that made the corpus."""
    sources: list[SourceFile] = []
    """Where the documents came from."""
    notes: list[str] = []
    """What was decided about doubtful data, and what may be wrong with it: one line each."""
    versions: dict[str, str] = {}
    """The packages that made the corpus."""


class Corpus:
    """A corpus in a folder, read as a stream: one row group is in memory at a time.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     manifest = write(folder, {"train": [["Ships sail.", "They sink."]]})
        ...     print(manifest.documents, *Corpus(folder).documents("train"))
        {'train': 1, 'held_out': 0} ['Ships sail.', 'They sink.']
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self.manifest = CorpusManifest.model_validate_json(_manifest(self.folder).read_text(encoding="utf-8"))

    def count(self, split: str) -> int:
        """Return the number of documents of `split`."""
        return self.manifest.documents[split]

    def documents(self, split: str) -> Iterator[list[str]]:
        """Yield the sentences of each document of `split`, always in the same order."""
        for path in sorted((self.folder / split).glob("*.parquet")):
            with pq.ParquetFile(path) as file:
                for group in range(file.num_row_groups):
                    yield from file.read_row_group(group, columns=[SENTENCES])[SENTENCES].to_pylist()


def write(folder: str | Path, documents: Mapping[str, Iterable[list[str]]], **facts: Any) -> CorpusManifest:
    """Write each split's `documents`, a list of sentences each, as they come, and the manifest with `facts` as well.

    Sentences are not empty, and neither are documents.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     manifest = write(folder, {"held_out": [["Ships sail."]]}, read=3)
        >>> manifest.read, manifest.sentences
        (3, {'train': 0, 'held_out': 1})
    """
    folder = Path(folder)
    digest = hashlib.sha256()
    counts = {split: _write_split(folder / split, documents.get(split, ()), digest) for split in SPLITS}
    manifest = CorpusManifest(
        documents={split: counted.documents for split, counted in counts.items()},
        sentences={split: counted.sentences for split, counted in counts.items()},
        characters={split: counted.characters for split, counted in counts.items()},
        of_one_sentence=counts[TRAIN].of_one_sentence,
        digest=digest.hexdigest(),
        **facts,
    )
    unfinished = folder / ".manifest.json"
    unfinished.write_text(manifest.model_dump_json(indent=2) + "\n", encoding="utf-8")
    unfinished.replace(_manifest(folder))
    return manifest


class _Counts(BaseModel):
    documents: int = 0
    sentences: int = 0
    characters: int = 0
    of_one_sentence: int = 0


def _write_split(folder: Path, documents: Iterable[list[str]], digest: "hashlib._Hash") -> _Counts:
    counts = _Counts()
    folder.mkdir(parents=True)
    writer: pq.ParquetWriter | None = None
    try:
        for number, group in enumerate(_groups(documents, counts, digest)):
            if number % _SHARD_GROUPS == 0:
                if writer:
                    writer.close()
                path = folder / f"part-{number // _SHARD_GROUPS:05}.parquet"
                writer = pq.ParquetWriter(path, _SCHEMA, compression="zstd", use_dictionary=False)
            assert writer is not None
            writer.write_table(group)
    finally:
        if writer:
            writer.close()
    return counts


def _groups(documents: Iterable[list[str]], counts: _Counts, digest: "hashlib._Hash") -> Iterator[pa.Table]:
    """Yield `documents` as tables of one row group each; there is always one, so that a split has a file."""
    waiting: list[list[str]] = []
    first, characters, made = 0, 0, False
    for document in documents:
        waiting.append(document)
        characters += sum(map(len, document))
        counts.of_one_sentence += len(document) == 1
        digest.update("\x1f".join([*document, "\x1e"]).encode())
        if characters >= _GROUP_CHARACTERS or len(waiting) == _GROUP_DOCUMENTS:
            yield _table(waiting, first)
            first, made = first + len(waiting), True
            counts.characters += characters
            counts.sentences += sum(map(len, waiting))
            waiting, characters = [], 0
    if waiting or not made:
        yield _table(waiting, first)
    counts.documents = first + len(waiting)
    counts.characters += characters
    counts.sentences += sum(map(len, waiting))


def _table(documents: list[list[str]], first: int) -> pa.Table:
    return pa.table({DOCUMENT: range(first, first + len(documents)), SENTENCES: documents}, schema=_SCHEMA)


def _manifest(folder: Path) -> Path:
    return folder / "manifest.json"
