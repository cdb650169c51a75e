"""Fixtures of the tests of ingest: real messages, small files of every kind, and a function that ingests them."""

import gzip
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from berth.data.dataset import SPLITS, Manifest, read_split
from components.ingest.settings import IngestSettings
from components.ingest.step import ingest_source
from tests.support.datasets import MESSAGES, component_body  # noqa: F401

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
            IngestSettings.of(source=files, columns=list(columns), text_column=text, label_column=label, **parameters),
            dataset,
            rejected,
        )
        assert Manifest.read(dataset) == manifest
        splits = {split: list(zip(*read_split(dataset, split), strict=True)) for split in SPLITS}
        return manifest, splits, pq.read_table(rejected).to_pylist()

    return ingest


@pytest.fixture
def steps(store, artifact, tmp_path):
    """Return a function that runs locate and ingest as KFP does and returns the artifact `dataset` and ingest's run."""
    from berth.tracking import run_tree

    def steps(config_file="c.yaml", **changes):
        dataset, rejected = artifact("dataset"), artifact("rejected")
        located = {
            "columns": [],
            "encoding": "",
            "text_column": "text",
            "text_pair_column": "",
            "label_column": "label",
            "split": {"train": 0.8, "validation": 0.1, "test": 0.1, "seed": 0.0},
            "slice_columns": [],
        }
        located |= {name: value for name, value in changes.items() if name in (*located, "source")}
        data = {
            "task": "single_label",
            "label_separator": ",",
            "label_map": {},
            "rare_labels": {},
            "max_rows": 0.0,
            "stratified": True,
        }
        data |= {"cleaning": {"near_duplicates": 0.9}, "memory": "1GB", "rows_per_shard": 100_000.0}
        data |= {name: value for name, value in changes.items() if name in data}
        tags = {"pipeline_run_id": "p", "git_commit": "", "config_file": config_file, "name": "n", "kfp_ui": ""}
        tags |= {"encoder": "minilm", "preprocessor": "", "encoder_fingerprint": str(tmp_path / "encoder")}
        fingerprint = component_body("ingest", "locate")(**located, **tags)
        outputs = {"dataset": dataset, "rejected": rejected}
        component_body("ingest", "ingest")(**located, **data, source_fingerprint=fingerprint, **outputs)
        return dataset, run_tree.children(store.client, store.parent)[1]

    return steps


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


@pytest.fixture
def bucket(s3_client):
    """Return a function that puts a file into the bucket `texts`."""
    s3_client.create_bucket(Bucket="texts")
    return lambda path, key: s3_client.upload_file(str(path), "texts", key)
