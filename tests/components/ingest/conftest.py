"""What the tests of ingest share: real messages, small files of every kind, and a function that ingests them."""

import gzip
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from components.common.dataset import SPLITS, Manifest, read_split
from components.ingest.settings import Settings
from components.ingest.step import ingest_source
from tests.components.conftest import MESSAGES  # noqa: F401

KEEP = {"near_duplicates": 0}
"""Texts made for tests resemble each other: only the tests of near-duplicates look for them."""

AS_IT_IS = {"near_duplicates": 0, "control_characters": False, "nfc": False}


@pytest.fixture
def ingest(tmp_path):
    """Return a function that ingests a source and returns the manifest, the rows by split, and the rejected rows."""

    def ingest(source, columns=(), text="text", label="label", name="dataset", **settings):
        dataset, rejected = tmp_path / name, tmp_path / f"{name}-rejected" / "rejected"
        files = source if isinstance(source, dict) else {"files": str(source)}
        parameters = {"cleaning": KEEP} | settings
        manifest = ingest_source(
            Settings.of(source=files, columns=list(columns), text_column=text, label_column=label, **parameters),
            dataset,
            rejected,
        )
        assert Manifest.read(dataset) == manifest
        splits = {split: list(zip(*read_split(dataset, split), strict=True)) for split in SPLITS}
        return manifest, splits, pq.read_table(rejected).to_pylist()

    return ingest


def everything(splits) -> set[tuple[str, str]]:
    return {row for split in splits.values() for row in split}


ROWS = [(f"text number {number}", "ham" if number % 3 else "spam") for number in range(200)]


def write(path: Path, rows=ROWS) -> Path:
    """Write `rows` in the format and compression that the name of `path` says."""
    kind = path.name.removesuffix(".gz").removesuffix(".zst").rsplit(".", 1)[1]
    if kind == "parquet":
        pq.write_table(pa.table({"text": [text for text, _ in rows], "label": [label for _, label in rows]}), path)
        return path
    if kind == "jsonl":
        content = "".join(json.dumps({"label": label, "text": text, "extra": 1}) + "\n" for text, label in rows)
    else:
        separator = "\t" if kind in ("tsv", "txt") else ","
        content = f"text{separator}label\n" + "".join(f"{text}{separator}{label}\n" for text, label in rows)
    data = content.encode()
    if path.suffix == ".gz":
        data = gzip.compress(data)
    elif path.suffix == ".zst":
        data = pa.compress(data, "zstd", asbytes=True)
    path.write_bytes(data)
    return path


@pytest.fixture
def here(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path
