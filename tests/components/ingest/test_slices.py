"""Slice columns: columns of the source that a dataset keeps in addition to text and label."""

import json
import sqlite3

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from berth.data.dataset import SPLITS, read_columns
from berth.errors import BerthError
from components.ingest.settings import IngestSettings
from components.ingest.sources.source import fingerprint
from tests.components.ingest.conftest import ROWS

REGIONS = [("EU", "US", 'a, "b"')[number % 3] for number in range(len(ROWS))]
YEARS = [2020 + number % 4 for number in range(len(ROWS))]
EXPECTED = {(text, label, region, str(year)) for (text, label), region, year in zip(ROWS, REGIONS, YEARS, strict=True)}


@pytest.fixture
def kept(tmp_path):
    """Return a function that returns the values of `columns` in all splits of a dataset, a tuple a row."""

    def kept(*columns, name="dataset"):
        splits = [read_columns(tmp_path / name, split) for split in SPLITS]
        return {row for split in splits for row in zip(*(split[column] for column in columns), strict=True)}

    return kept


def csv(regions=REGIONS, header="text,region,year,label\n", rows=ROWS) -> str:
    quoted = ['"' + region.replace('"', '""') + '"' if region else "" for region in regions]
    lines = zip(rows, quoted, YEARS, strict=True)
    return header + "".join(f"{text},{region},{year},{label}\n" for (text, label), region, year in lines)


def table() -> pa.Table:
    columns = {"text": [text for text, _ in ROWS], "label": [label for _, label in ROWS]}
    return pa.table(columns | {"region": REGIONS, "year": YEARS, "other": YEARS})


@pytest.mark.parametrize("kind", ["csv", "csv without a header", "tsv", "jsonl", "parquet", "duckdb", "sqlite"])
def test_slice_columns_are_kept_as_texts_under_their_own_names(ingest, kept, tmp_path, monkeypatch, kind):
    source, columns = tmp_path / f"a.{kind.partition(' ')[0]}", ()
    if kind == "csv":
        source.write_text(csv())
    elif kind == "csv without a header":
        source.write_text(csv(header=""))
        columns = ("text", "region", "year", "label")
    elif kind == "tsv":
        rows = "".join(f"{a}\t{b}\t{c}\t{d}\n" for (a, b), c, d in zip(ROWS, REGIONS, YEARS, strict=True))
        source.write_text(f"text\tlabel\tregion\tyear\n{rows}")
    elif kind == "jsonl":
        source.write_text("".join(json.dumps(row) + "\n" for row in table().to_pylist()))
    elif kind == "parquet":
        pq.write_table(table(), source)
    elif kind == "duckdb":
        pq.write_table(table(), tmp_path / "a.parquet")
        source = {"sql": "SELECT *, year + 0 AS y FROM 'a.parquet'", "folder": str(tmp_path)}
    else:
        with sqlite3.connect(tmp_path / "a.db") as connection:
            connection.execute("CREATE TABLE messages (text TEXT, label TEXT, region TEXT, year INTEGER)")
            rows = [(a, b, c, d) for (a, b), c, d in zip(ROWS, REGIONS, YEARS, strict=True)]
            connection.executemany("INSERT INTO messages VALUES (?, ?, ?, ?)", rows)
        monkeypatch.setenv("BERTH_TEST_DATABASE", f"sqlite:///{tmp_path / 'a.db'}")
        source = {"sql": "SELECT * FROM messages", "connection": "env:BERTH_TEST_DATABASE"}
    manifest, _, _ = ingest(source, columns, slice_columns=["region", "year"])
    assert manifest.slice_columns == ["region", "year"]
    assert kept("text", "label", "region", "year") == EXPECTED
    schema = pq.read_schema(tmp_path / "dataset/train/part-00000.parquet")
    assert schema.names == ["text", "label", "region", "year"]
    assert set(schema.types) == {pa.string()}


def test_missing_values_are_empty_and_invalid_utf8_is_shown(ingest, kept, tmp_path):
    content = csv(["", *REGIONS[1:]]).encode() + b"one more text,caf\xe9,2020,ham\n"
    (tmp_path / "a.csv").write_bytes(content)
    _, _, rejected = ingest(tmp_path / "a.csv", slice_columns=["region"], encoding="utf-8")
    assert kept("region") == {("",), ("EU",), ("US",), ('a, "b"',), ("caf\ufffd",)}
    assert rejected == []
    rows = [
        {"text": text, "label": label} | ({"region": "EU"} if n < 9 else {}) for n, (text, label) in enumerate(ROWS)
    ]
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    ingest(tmp_path / "a.jsonl", slice_columns=["region"], name="json")
    assert kept("region", name="json") == {("EU",), ("",)}


def test_a_column_may_be_a_slice_and_say_the_split_too(ingest, kept, tmp_path):
    parts = ["train", "train", "validation", "test"]
    rows = [{"text": a, "label": b, "part": parts[n % 4]} for n, (a, b) in enumerate(ROWS)]
    for kind in ("jsonl", "parquet"):
        path = tmp_path / f"a.{kind}"
        if kind == "jsonl":
            path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        else:
            pq.write_table(pa.Table.from_pylist(rows), path)
        ingest(path, slice_columns=["part"], split={"by": "column", "column": "part"}, name=kind)
        assert set(read_columns(tmp_path / kind, "test")["part"]) == {"test"}


def test_pairs_shards_and_splits_have_them_in_every_row(ingest, kept, tmp_path):
    rows = [(f"text {number}", f"other {number}", "ab"[number % 2], f"s{number % 7}") for number in range(5000)]
    lines = "".join(
        json.dumps(dict(zip(("text", "second", "label", "slice"), row, strict=True))) + "\n" for row in rows
    )
    (tmp_path / "a.jsonl").write_text(lines)
    ingest(tmp_path / "a.jsonl", text_pair_column="second", slice_columns=["slice"], rows_per_shard=1000)
    assert len(list((tmp_path / "dataset/train").iterdir())) == 4
    assert kept("text", "text_pair", "label", "slice") == set(rows)


def test_of_copies_in_two_slices_the_same_one_stays_in_any_order(ingest, kept, tmp_path):
    lines = csv().splitlines(keepends=True)
    lines += ["a copy,US,2021,ham\n", "a copy,EU,2022,ham\n", "a copy,EU,2021,ham\n", "a copy,,2020,spam\n"][:3]
    fingerprints = set()
    for name, rows in (("one", lines[1:]), ("two", lines[:0:-1])):
        (tmp_path / "a.csv").write_text(lines[0] + "".join(rows))
        manifest, _, _ = ingest(tmp_path / "a.csv", slice_columns=["region", "year"], name=name)
        assert {row for row in kept("text", "region", "year", name=name) if row[0] == "a copy"} == {
            ("a copy", "EU", "2021")
        }
        assert manifest.duplicates == 2
        fingerprints.add(manifest.fingerprint)
    assert len(fingerprints) == 1


def test_content_fingerprint_covers_texts_labels_and_slices(ingest, tmp_path):
    """Without slice columns, only texts and labels count."""
    (tmp_path / "a.csv").write_text(csv())
    (tmp_path / "b.csv").write_text(csv(["EU"] * len(ROWS)))
    plain = [ingest(tmp_path / f"{name}.csv", name=name)[0] for name in "ab"]
    sliced = [ingest(tmp_path / f"{name}.csv", slice_columns=["region"], name=f"s{name}")[0] for name in "ab"]
    assert plain[0].fingerprint == plain[1].fingerprint
    assert len({manifest.fingerprint for manifest in (*plain, *sliced)}) == 3
    assert [manifest.rows for manifest in sliced] == [manifest.rows for manifest in plain]


@pytest.mark.parametrize("evil", ["r\"); DROP TABLE rows; --'", "text.x", "LABEL", "slice0", "a'b", "rows", "{", "📦"])
def test_a_columns_name_may_be_anything(ingest, kept, tmp_path, evil):
    pq.write_table(table().rename_columns(["text", "label", evil, "year", "other"]), tmp_path / "a.parquet")
    ingest(tmp_path / "a.parquet", slice_columns=[evil, "year"], name="parquet")
    assert kept("text", "label", evil, "year", name="parquet") == EXPECTED
    rows = [row | {evil: row["region"]} for row in table().to_pylist()]
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    ingest(tmp_path / "a.jsonl", slice_columns=[evil, "year"], name="json")
    assert kept("text", "label", evil, "year", name="json") == EXPECTED


@pytest.mark.parametrize(
    ("slices", "settings", "message"),
    [
        (
            ["regoin"],
            {},
            r"^slice_columns: no column 'regoin' in a\.csv\. Did you mean 'region'\? It has: text, region",
        ),
        (["region", "region"], {}, r"^slice_columns: 'region' is listed 2 times\. Name it once\.$"),
        (["text"], {}, r"^slice_columns: 'text' is also text_column\. Name another column\.$"),
        (["label"], {}, r"^slice_columns: 'label' is also label_column\. Name another column\.$"),
        (["year"], {"text_pair_column": "year"}, r"^slice_columns: 'year' is also text_pair_column"),
        (["label"], {"label": "region"}, r"^slice_columns: a dataset has a column 'label' of its own\. Rename it"),
        (["text_pair"], {}, r"^slice_columns: a dataset has a column 'text_pair' of its own\. Rename it"),
        ([""], {}, r"^slice_columns: one is empty\. Name columns of the source\.$"),
    ],
)
def test_slice_columns_that_cannot_be_are_said_by_both_steps(ingest, tmp_path, slices, settings, message):
    (tmp_path / "a.csv").write_text(csv())
    with pytest.raises(BerthError, match=message):
        ingest(tmp_path / "a.csv", slice_columns=slices, **settings)
    assert not (tmp_path / "dataset").exists()
    fields = {"label_column": settings.get("label", "label"), "text_pair_column": settings.get("text_pair_column", "")}
    with pytest.raises(BerthError, match=message):
        fingerprint(IngestSettings.of(source={"files": str(tmp_path / "a.csv")}, slice_columns=slices, **fields))


def test_a_slice_column_of_lists_is_refused(ingest, tmp_path):
    pq.write_table(table().append_column("tags", pa.array([["a"]] * len(ROWS))), tmp_path / "a.parquet")
    with pytest.raises(BerthError, match=r"a\.parquet: the column 'tags' holds lists or records\. Name one of texts"):
        ingest(tmp_path / "a.parquet", slice_columns=["tags"])


def test_two_columns_of_the_slices_name_are_refused(ingest, tmp_path):
    (tmp_path / "a.csv").write_text("text,region,region,label\na,b,c,d\n")
    with pytest.raises(BerthError, match=r"slice_columns: a\.csv has several columns 'region'\. Rename all but one"):
        ingest(tmp_path / "a.csv", slice_columns=["region"])


def test_both_components_take_the_columns_and_mlflow_shows_them(steps, tmp_path):
    (tmp_path / "a.csv").write_text(csv())
    dataset, step = steps(
        source={"files": str(tmp_path / "a.csv")}, slice_columns=["region"], cleaning={"near_duplicates": 0}
    )
    assert "region" in read_columns(dataset.path, "test")
    assert step.data.params["slice_columns"] == "['region']"
