"""Labels in every form that files have them: lists written as text, objects, numbers, and nothing at all."""

import csv
import json
import sqlite3

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from berth.data.dataset import SPLITS, read_split
from components.ingest.rows.label_lists import labels_of
from tests.components.ingest.conftest import ROWS, everything, write
from tests.support.bad_sources import fails

TAGGED = [
    (f"text number {number}", [name for bit, name in enumerate(("a", "b, c", "it's")) if number >> bit & 1])
    for number in range(200)
]


def by_text(folder) -> dict[str, list[str]]:
    return {text: labels for split in SPLITS for text, labels in zip(*read_split(folder, split), strict=True)}


def jsonl(path, rows):
    path.write_text("".join(f"{row if isinstance(row, str) else json.dumps(row)}\n" for row in rows))
    return path


@pytest.mark.parametrize("written", [str, json.dumps, lambda found: str(tuple(found)), lambda found: str(set(found))])
def test_lists_of_labels_in_a_csv_are_read(ingest, tmp_path, written):
    """As str, json, and pandas write them; an empty list is not a label."""
    with (tmp_path / "a.csv").open("w", newline="") as stream:
        csv.writer(stream).writerows([["text", "label"], *((text, written(labels)) for text, labels in TAGGED)])
    manifest, _, _ = ingest(tmp_path / "a.csv", task="multi_label")
    assert by_text(tmp_path / "dataset") == {text: sorted(labels) for text, labels in TAGGED}
    assert manifest.labels == ["a", "b, c", "it's"]
    assert manifest.notes == ["label: 25 of 200 texts have no label, and are examples of none."]


@pytest.mark.parametrize(
    ("text", "labels"),
    [
        ("['a' 'b']", ["a", "b"]),  # NumPy
        ("[a, b c]", ["a", "b c"]),  # DuckDB
        ("{a,b}", ["a", "b"]),  # PostgreSQL
        ("[1 2.0]", ["1", "2"]),
        ("['a', nan]", ["a"]),
        ("{}", []),
        ("set()", []),
        ("{'a': 1}", None),
        ("{a: 1}", None),
        ("[['a']]", None),
        ("[b'a']", None),
        ("[it's]", None),
        (r'["\ud800"]', None),
    ],
)
def test_a_list_in_a_text_is_read_or_refused_whole(text, labels):
    assert labels_of(text) == labels


def test_an_unreadable_list_of_labels_rejects_its_row(ingest, tmp_path):
    rows = [(text, "a;b") for text, _ in ROWS] + [("broken", "['a'; 'b']"), ("not a list", "[a];[b]")]
    _, _, rejected = ingest(write(tmp_path / "a.csv", rows), task="multi_label", label_separator=";")
    assert [(row["text"], row["reason"], row["label"]) for row in rejected if row["action"] == "rejected"] == [
        ("broken", "unreadable list of labels", "['a'; 'b']")
    ]
    assert by_text(tmp_path / "dataset")["not a list"] == ["[a]", "[b]"]


@pytest.mark.parametrize("kind", ["csv", "tsv", "parquet"])
def test_an_empty_cell_is_a_text_without_labels(ingest, tmp_path, kind):
    rows = [(text, "" if label == "ham" else "toxic|insult") for text, label in ROWS]
    manifest, _, rejected = ingest(write(tmp_path / f"a.{kind}", rows), task="multi_label", label_separator="|")
    assert sum(manifest.rows.values()) == 200
    assert not [row for row in rejected if row["action"] == "rejected"]
    assert [labels for labels in by_text(tmp_path / "dataset").values() if not labels] == [[]] * 133


def test_a_separator_that_gives_no_second_label_is_noted(ingest, tmp_path):
    rows = [(text, "a;b" if label == "ham" else "a") for text, label in ROWS]
    manifest, *_ = ingest(write(tmp_path / "a.csv", rows), task="multi_label")
    assert manifest.labels == ["a", "a;b"]
    assert manifest.notes == [
        "label: no text has two labels, but 'a;b' is several with a semicolon between them. If so, set "
        "label_separator: ';'."
    ]
    right, *_ = ingest(tmp_path / "a.csv", task="multi_label", label_separator=";", name="right")
    assert (right.labels, right.notes) == (["a", "b"], [])
    spaced = [(text, "not spam" if label == "ham" else "spam") for text, label in ROWS]
    manifest, *_ = ingest(write(tmp_path / "b.csv", spaced), task="multi_label", name="spaced")
    assert manifest.notes == [], "'not' is not a label elsewhere"


def test_lists_in_a_single_label_column_name_multi_label(here):
    write(here / "a.tsv", [(text, f"['{label}']") for text, label in ROWS])
    fails(r"a\.tsv: the labels are lists, such as \"\['ham'\]\"\. Set 'task: multi_label'", "a.tsv")


def test_a_json_list_of_one_label_is_that_label(ingest, tmp_path):
    path = jsonl(tmp_path / "a.jsonl", [{"text": text, "label": [label]} for text, label in ROWS])
    assert everything(ingest(path)[1]) == set(ROWS)


@pytest.mark.parametrize(
    "row",
    [
        {"text": "x", "label": ["ham", "spam"]},
        {"text": "x", "label": []},
        {"text": "x", "label": [["ham"]]},
        {"text": "x", "label": {"id": 1, "name": "ham"}},
        {"text": ["x"], "label": "ham"},
        {"text": {"body": "x"}, "label": "ham"},
    ],
    ids=str,
)
def test_json_lists_and_objects_are_refused_as_in_parquet(here, row):
    jsonl(here / "a.jsonl", [{"text": text, "label": label} for text, label in ROWS] + ["", row])
    fails(r"a\.jsonl: 1 rows have a list or an object .*the first in line 202", "a.jsonl")


@pytest.mark.parametrize("kind", ["jsonl", "parquet"])
def test_fields_of_records_are_named_with_dots(ingest, tmp_path, kind):
    rows = [{"id": 1, "in": {"body": text, "label": {"name": label}}} for text, label in ROWS]
    path = tmp_path / f"a.{kind}"
    if kind == "jsonl":
        jsonl(path, rows)
    else:
        pq.write_table(pa.Table.from_pylist(rows), path)
    assert everything(ingest(path, text="in.body", label="in.label.name")[1]) == set(ROWS)


def test_a_key_with_a_dot_in_it_is_not_a_path(ingest, tmp_path):
    rows = [{"a.b": text, "a": {"b": "other"}, "x/y~z": label} for text, label in ROWS]
    assert everything(ingest(jsonl(tmp_path / "a.jsonl", rows), text="a.b", label="x/y~z")[1]) == set(ROWS)


def test_keys_that_differ_in_case_are_two_columns(ingest, tmp_path):
    rows = [{"Text": "other", "text": text, "Label": 0, "label": label} for text, label in ROWS]
    assert everything(ingest(jsonl(tmp_path / "a.jsonl", rows))[1]) == set(ROWS)


def test_nan_is_a_missing_label_in_json_and_parquet(ingest, tmp_path):
    rows = [*ROWS, ("x", float("nan"))]
    path = jsonl(tmp_path / "a.jsonl", [{"text": text, "label": label} for text, label in rows])
    manifest, *_ = ingest(path)
    assert (manifest.labels, manifest.rejected) == (["ham", "spam"], {"missing label": 1})
    labels = [float(label == "ham") for _, label in ROWS] + [float("nan")]
    pq.write_table(pa.table({"text": [*(text for text, _ in ROWS), "x"], "label": labels}), tmp_path / "a.parquet")
    manifest, *_ = ingest(tmp_path / "a.parquet", name="parquet")
    assert (manifest.labels, manifest.rejected) == (["0", "1"], {"missing label": 1})


def test_whole_numbers_are_one_class_with_or_without_a_point(ingest, tmp_path):
    rows = [{"text": text, "label": [1, 1.0, 0.5][number % 3]} for number, (text, _) in enumerate(ROWS)]
    assert ingest(jsonl(tmp_path / "a.jsonl", rows))[0].labels == ["0.5", "1"]
    folder = tmp_path / "shards"
    folder.mkdir()
    for name, type in (("a", pa.int64()), ("b", pa.float64()), ("c", pa.decimal128(5, 2))):
        labels, texts = pa.array([number % 2 for number in range(200)], type), [f"{text} {name}" for text, _ in ROWS]
        pq.write_table(pa.table({"text": texts, "label": labels}), folder / f"{name}.parquet")
    manifest, *_ = ingest(folder, name="folder")
    assert manifest.labels == ["0", "1"]
    tagged = [[1.0, 2.5], [2.0]] * 100
    pq.write_table(pa.table({"text": [text for text, _ in ROWS], "label": tagged}), tmp_path / "c.parquet")
    assert ingest(tmp_path / "c.parquet", task="multi_label", name="lists")[0].labels == ["1", "2", "2.5"]


def test_whole_numbers_of_a_database_are_one_class(ingest, tmp_path, monkeypatch):
    with sqlite3.connect(tmp_path / "a.db") as connection:
        connection.execute("CREATE TABLE texts (text TEXT, label)")
        rows = [(text, [1, 1.0, 0.5][number % 3]) for number, (text, _) in enumerate(ROWS)]
        connection.executemany("INSERT INTO texts VALUES (?, ?)", rows)
    monkeypatch.setenv("URL", f"sqlite:///{tmp_path}/a.db")
    assert ingest({"sql": "SELECT * FROM texts", "connection": "env:URL"})[0].labels == ["0.5", "1"]


def test_classes_that_look_like_one_number_are_noted(ingest, tmp_path):
    rows = [(text, ["1", "1.0", "true", "0"][number % 4]) for number, (text, _) in enumerate(ROWS)]
    manifest, *_ = ingest(write(tmp_path / "a.csv", rows))
    assert manifest.labels == ["0", "1", "1.0", "true"]
    assert manifest.notes == [
        "label: '1' and '1.0' are two classes. If they are one, map '1.0' with label_map.",
        "label: 0, 1 and true are different classes. If they are the same, map them with label_map.",
    ]


def test_a_key_that_is_there_twice_rejects_its_row(ingest, tmp_path):
    rows = [{"text": text, "label": label, "x": 1} for text, label in ROWS]
    twice = ['{"text": "a", "label": "ham", "label": "spam"}', '{"text": "b", "label": "ham", "x": 1, "x": 2}']
    _, splits, rejected = ingest(jsonl(tmp_path / "a.jsonl", rows + twice))
    assert [(row["row"], row["reason"], row["text"]) for row in rejected] == [(201, "a key twice", "a")]
    assert ("b", "ham") in everything(splits)
    nested = [{"text": text, "label": {"name": label}} for text, label in ROWS]
    path = jsonl(tmp_path / "b.jsonl", [*nested, '{"text": "a", "label": {"name": "ham", "name": "spam"}}'])
    assert ingest(path, label="label.name", name="nested")[0].rejected == {"a key twice": 1}


def test_a_label_may_first_appear_after_many_rows(ingest, tmp_path):
    rows = [{"text": f"unlabelled {number}"} for number in range(150)]
    rows += [{"text": text, "label": label} for text, label in ROWS]
    manifest, splits, _ = ingest(jsonl(tmp_path / "a.jsonl", rows))
    assert manifest.rejected == {"missing label": 150}
    assert everything(splits) == set(ROWS)


@pytest.mark.parametrize("row", ['{"text": ', '{"text": "a"} {"text": "b"}', '["text"]', "null"])
def test_json_errors_name_the_line_in_the_file(here, row):
    """Blank lines count, and lines before the fault too."""
    good = [json.dumps({"text": text, "label": label}) for text, label in ROWS]
    jsonl(here / "a.jsonl", ["", *good[:100], " ", *good[100:150], row, *good[150:]])
    fails(r"a\.jsonl: line 153 is not (a )?JSON", "a.jsonl")
