"""Tasks, label maps, samples, and the ways to split."""

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from berth.data.dataset import SPLITS, Manifest, read_split, split_dir
from berth.errors import BerthError
from components.ingest import step
from components.ingest.settings import IngestSettings
from components.ingest.splits.writing import write_rejected
from tests.components.ingest.conftest import MESSAGES, ROWS, everything, write

TAGGED = [
    (f"text number {number}", [name for bit, name in enumerate("abc") if number >> bit & 1]) for number in range(200)
]


@pytest.mark.parametrize("kind", ["parquet", "jsonl", "csv"])
def test_several_labels_come_as_a_list_or_with_a_separator(ingest, tmp_path, kind):
    path = tmp_path / f"a.{kind}"
    if kind == "parquet":
        pq.write_table(pa.table({"text": [a for a, _ in TAGGED], "label": [b for _, b in TAGGED]}), path)
    elif kind == "jsonl":
        path.write_text("".join(json.dumps({"text": a, "label": b}) + "\n" for a, b in TAGGED))
    else:
        rows = "".join(f"{text},{' | '.join(reversed(labels))}\n" for text, labels in TAGGED)
        path.write_text(f"text,label\n{rows}")
    manifest, _, rejected = ingest(path, task="multi_label", label_separator="|")
    found = {}
    for split in SPLITS:
        texts, labels = read_split(tmp_path / "dataset", split)
        found |= dict(zip(texts, labels, strict=True))
    assert found == dict(TAGGED)
    assert manifest.labels == ["a", "b", "c"]
    assert manifest.task == "multi_label"
    assert sum(counts["a"] for counts in manifest.label_counts.values()) == 100
    assert not [row for row in rejected if row["action"] == "rejected"]


def test_same_text_with_two_label_sets_is_a_conflict(ingest, tmp_path):
    """The same labels in another order are not a conflict."""
    rows = [("same", "a|b"), ("same", "b|a"), ("other", "a"), ("other", "a|b"), *((a, "a|b") for a, _ in ROWS)]
    manifest, _, _ = ingest(write(tmp_path / "a.csv", rows), task="multi_label", label_separator="|")
    assert manifest.duplicates == 1
    assert manifest.rejected == {"conflicting labels": 2}


def test_pairs_of_texts_are_kept_together_and_split_by_both(ingest, tmp_path):
    pairs = [("the same premise", f"hypothesis {number}", "yes" if number % 2 else "no") for number in range(200)]
    pairs += [("no second", "", "yes"), ("the same premise", "hypothesis 3", "yes")]
    rows = "".join(json.dumps({"text": a, "other": b, "label": c}) + "\n" for a, b, c in pairs)
    (tmp_path / "a.jsonl").write_text(rows)
    manifest, _, _ = ingest(tmp_path / "a.jsonl", text_pair_column="other")
    assert manifest.pairs
    assert manifest.duplicates == 1
    assert manifest.rejected == {"empty text": 1}
    tables = [pq.read_table(split_dir(tmp_path / "dataset", split)) for split in SPLITS]
    assert tables[0].column_names == ["text", "text_pair", "label"]
    assert {value for table in tables for value in table["text_pair"].to_pylist()} == {b for _, b, _ in pairs[:200]}
    assert all(table.num_rows > 5 for table in tables)


def test_labels_are_renamed_merged_and_left_out(ingest, tmp_path):
    rows = [(text, str(number % 4)) for number, (text, _) in enumerate(ROWS)]
    mapping = {"0": "bad", "1": "bad", "2": "good", "3": ""}
    manifest, splits, rejected = ingest(write(tmp_path / "a.csv", rows), label_map=mapping)
    assert Counter(label for _, label in everything(splits)) == {"bad": 100, "good": 50}
    assert manifest.rejected == {"label left out": 50}
    assert manifest.changed == {"mapped label": 200}
    assert Counter(row["reason"] for row in rejected) == {"label left out": 50, "mapped label": 200}


def test_sample_keeps_label_shares_and_ignores_row_order(ingest, tmp_path):
    rows = [(f"text number {number}", "rare" if number % 10 == 0 else "ham") for number in range(2000)]
    manifest, splits, rejected = ingest(write(tmp_path / "a.csv", rows), max_rows=500)
    assert Counter(label for _, label in everything(splits)) == {"ham": 450, "rare": 50}
    assert manifest.not_sampled == 1500
    assert rejected == []
    _, again, _ = ingest(write(tmp_path / "b.csv", rows[::-1]), max_rows=500, name="b")
    assert everything(again) == everything(splits)
    plain, splits, _ = ingest(write(tmp_path / "a.csv", rows), max_rows=500, stratified=False, name="c")
    assert sum(plain.rows.values()) == 500
    _, whole, _ = ingest(write(tmp_path / "a.csv", rows), max_rows=5000, name="d")
    assert len(everything(whole)) == 2000


def test_split_column_is_used_and_train_fills_a_missing_split(ingest, tmp_path):
    """A split that the column lacks is taken out of the train rows."""
    names = ["train"] * 7 + ["Dev", "test ", "train"]
    lines = "".join(f"{text},{label},{names[number % 10]}\n" for number, (text, label) in enumerate(ROWS))
    (tmp_path / "a.csv").write_text(f"text,label,part\n{lines}")
    by_column = {"by": "column", "column": "part"}
    manifest, splits, _ = ingest(tmp_path / "a.csv", split=by_column)
    assert manifest.rows == {"train": 160, "validation": 20, "test": 20}
    assert set(splits["validation"]) == set(ROWS[7::10])
    (tmp_path / "b.csv").write_text(f"text,label,part\n{lines}".replace("Dev", "train"))
    manifest, splits, _ = ingest(tmp_path / "b.csv", split=by_column, name="b")
    assert manifest.rows["test"] == 20
    assert 5 < manifest.rows["validation"] < 35
    assert set(splits["test"]) == set(ROWS[8::10])
    (tmp_path / "c.csv").write_text(f"text,label,part\n{lines}".replace("Dev", "holdout"))
    manifest, _, _ = ingest(tmp_path / "c.csv", split=by_column, name="c")
    assert manifest.rejected == {"unknown split": 20}


def test_each_split_may_have_a_source_of_its_own(ingest, tmp_path):
    sources = {"train": ROWS[:150], "test": ROWS[150:]}
    files = {name: str(write(tmp_path / f"{name}.csv", rows)) for name, rows in sources.items()}
    manifest, splits, _ = ingest(files)
    assert set(splits["test"]) == set(ROWS[150:])
    assert everything(splits) == set(ROWS)
    assert 5 < manifest.rows["validation"] < 40
    assert [file.rows for file in manifest.sources] == [150, 50]
    copied = {"train": files["train"], "test": str(write(tmp_path / "copy.csv", ROWS[140:]))}
    manifest, splits, _ = ingest(copied, name="copied")
    assert manifest.duplicates == 10
    assert set(splits["test"]) == set(ROWS[150:])


@pytest.mark.parametrize("stamp", ["2026-01-{:02}T00:00:00", "17000000{:02}", "2026-01-{:02}"])
def test_by_time_the_newest_rows_are_the_test(ingest, tmp_path, stamp):
    days = [number % 20 + 1 for number in range(200)]
    lines = "".join(f"{text},{label},{stamp.format(day)}\n" for (text, label), day in zip(ROWS, days, strict=True))
    (tmp_path / "a.csv").write_text(f"text,label,when\n{lines}a text,ham,never\n")
    manifest, splits, _ = ingest(tmp_path / "a.csv", split={"by": "time", "column": "when"})
    by_day = {text: day for (text, _), day in zip(ROWS, days, strict=True)}
    ranges = [[by_day[text] for text, _ in splits[split]] for split in SPLITS]
    assert max(ranges[0]) < min(ranges[1]) <= max(ranges[1]) < min(ranges[2])
    assert manifest.rows == {"train": 160, "validation": 20, "test": 20}
    assert manifest.rejected == {"unreadable time": 1}


def test_shards_have_a_fixed_size_and_keep_row_order(ingest, tmp_path):
    """Together they hold every row."""
    rows = [(f"text number {number}", "ham" if number % 3 else "spam") for number in range(6000)]
    path = write(tmp_path / "a.csv", rows)
    ingest(path, rows_per_shard=1000)
    shards = sorted(split_dir(tmp_path / "dataset", "train").iterdir())
    sizes = [pq.ParquetFile(shard).metadata.num_rows for shard in shards]
    assert sizes[:-1] == [1000] * (len(shards) - 1)
    assert 0 < sizes[-1] <= 1000
    ingest(path, name="one")
    assert read_split(tmp_path / "dataset", "train") == read_split(tmp_path / "one", "train")


@pytest.mark.slow  # 100,000 rows
def test_little_memory_is_enough_for_many_rows(ingest, tmp_path):
    bodies = [" ".join(f"w{family * 40 + word}" for word in range(40)) for family in range(50_000)]
    rows = [(f"{bodies[number // 2]} {number}", "ham" if number % 3 else "spam") for number in range(100_000)]
    manifest, _, _ = ingest(write(tmp_path / "a.csv", rows), memory_limit="75MB", cleaning={})
    assert manifest.rows_read == 100_000
    assert manifest.near_duplicates > 15_000


@pytest.mark.slow  # 80 MB of CSV
def test_memory_stays_near_the_limit_when_the_input_is_larger(tmp_path):
    """In a process of its own, whose peak the kernel keeps; 80 MB of CSV of rows that are not alike.

    The process takes 190 MB without rows, and 590 MB with these rows and no limit.
    """
    with (tmp_path / "a.csv").open("w") as stream:
        stream.write("text,label\n")
        stream.writelines(
            f"{number:x} {hash(str(number)):x} {'lorem ipsum ' * 24},{'ab'[number % 2]}\n" for number in range(250_000)
        )
    settings = {
        "source": {"files": str(tmp_path / "a.csv")},
        "memory_limit": "100MB",
        "cleaning": {"near_duplicates": 0},
    }
    # A process that is started has its parent's peak among its own rusage: its memory's own mark is in /proc.
    code = "import re, sys; from pathlib import Path; from components.ingest.__main__ import main; main(sys.argv[1]); "
    code += "print(re.search(r'VmHWM:\\s+(\\d+) kB', Path('/proc/self/status').read_text())[1])"
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "dataset")],
        input=json.dumps(settings),
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])},
    )
    assert Manifest.read(tmp_path / "dataset").rows_read == 250_000
    assert int(done.stdout) < (100 + 350) << 10


@pytest.mark.slow  # 130,000 rows, twice
def test_rows_that_do_not_fit_into_memory_give_the_same_dataset(tmp_path, monkeypatch):
    """Byte for byte: this is how 100 million rows are ingested, by DuckDB on one machine and its disk.

    Rows are written to the disk once, to the database's file, and not again each time they leave memory.
    """
    rows = [(f"{number * 7919} " * 8, "ab"[number % 2]) for number in range(130_000)]  # DuckDB writes 122,880 at once
    source, spilled, filed, found = write(tmp_path / "a.csv", rows), [], [], {}

    def watched(connection, *others):
        ((size,),) = connection.execute("SELECT coalesce(sum(size), 0) FROM duckdb_temporary_files()").fetchall()
        spilled.append(int(size))
        ((blocks,),) = connection.execute("SELECT used_blocks FROM pragma_database_size()").fetchall()
        filed.append(blocks)
        write_rejected(connection, *others)

    monkeypatch.setattr(step, "write_rejected", watched)
    for limit in ("1GB", "25MB"):
        settings = IngestSettings.of(source={"files": str(source)}, memory_limit=limit)
        step.ingest_source(settings, tmp_path / limit, tmp_path / "rejected")
        files = sorted((tmp_path / limit).rglob("*.parquet"))
        found[limit] = [(path.relative_to(tmp_path / limit), path.read_bytes()) for path in files]
    assert filed[0] == 0 < filed[1]
    assert spilled == [0, 0]
    assert found["1GB"] == found["25MB"]


def test_manifest_records_row_origins_and_processing(ingest):
    manifest, _, _ = ingest(MESSAGES, ["label", "text"], cleaning={})
    (source,) = manifest.sources
    assert (source.uri, source.size, source.rows) == (str(MESSAGES), MESSAGES.stat().st_size, 5574)
    assert source.version.startswith("20")
    assert set(manifest.versions) == {"duckdb", "pyarrow"}
    assert manifest.near_duplicates == manifest.rejected["near-duplicate across splits"] == 12
    assert manifest.changed == {"control characters": 35}


def test_a_split_that_the_source_leaves_empty_is_said(ingest, tmp_path):
    files = {"train": str(write(tmp_path / "a.csv", ROWS)), "test": str(write(tmp_path / "b.csv", ROWS[:50]))}
    with pytest.raises(BerthError, match="the test split is empty"):
        ingest(files)
