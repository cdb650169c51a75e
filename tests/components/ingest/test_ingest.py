"""Ingest on real messages and on small files with something wrong in them."""

import json
import re
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from berth.data.dataset import SPLITS
from berth.tracking import run_tree, tags
from components.ingest.settings import IngestSettings
from components.ingest.sources.source import fingerprint
from tests.components.ingest.conftest import AS_IT_IS, MESSAGES, ROWS, everything, write


def test_every_real_message_is_read_and_no_text_is_in_two_splits(ingest):
    manifest, splits, rejected = ingest(MESSAGES, ["label", "text"], cleaning=AS_IT_IS)
    real = [tuple(reversed(line.split("\t", 1))) for line in MESSAGES.read_text(encoding="utf-8").splitlines()]
    assert manifest.rows_read == len(real) == 5574
    assert everything(splits) == set(real)
    assert sum(manifest.rows.values()) == len(set(real)) == 5160
    assert manifest.duplicates == 414
    assert [row["reason"] for row in rejected] == ["duplicate"] * 414
    assert manifest.labels == ["ham", "spam"]
    normalised = [{" ".join(text.split()).lower() for text, _ in splits[split]} for split in SPLITS]
    assert not normalised[0] & normalised[1]
    assert not normalised[0] & normalised[2]
    assert not normalised[1] & normalised[2]


def test_split_depends_only_on_the_text_and_the_seed(ingest, tmp_path):
    lines = MESSAGES.read_text(encoding="utf-8").splitlines(keepends=True)
    (tmp_path / "half.tsv").write_text("".join(reversed(lines[: len(lines) // 2])), encoding="utf-8")
    manifest, whole, _ = ingest(MESSAGES, ["label", "text"])
    half_manifest, half, _ = ingest(tmp_path / "half.tsv", ["label", "text"], name="half")
    for split in SPLITS:
        assert set(half[split]) <= set(whole[split])
    assert half_manifest.fingerprint != manifest.fingerprint
    other, *_ = ingest(MESSAGES, ["label", "text"], split={"seed": 1}, name="seed")
    assert other.rows != manifest.rows


def test_texts_equal_after_normalization_share_a_split(ingest, tmp_path):
    """They differ only in case, white space or Unicode form."""
    variants = ("Caf\u00e9 number {}", "cafe\u0301 NUMBER {}", "  caf\u00e9\u2003number \u00a0 {} ")
    rows = [(variant.format(number), "ab"[number % 2]) for number in range(200) for variant in variants]
    manifest, splits, _ = ingest(write(tmp_path / "a.tsv", rows))
    assert manifest.duplicates == 0
    assert sum(manifest.rows.values()) == 600
    numbers = [{text.split()[-1] for text, _ in splits[split]} for split in SPLITS]
    assert sum(map(len, numbers)) == len(set.union(*numbers)) == 200


def test_split_fractions_hold_within_three_sigma(ingest):
    """The rows of each split are known and the same on every machine."""
    manifest, *_ = ingest(MESSAGES, ["label", "text"], cleaning=AS_IT_IS)
    for split, fraction in (("train", 0.8), ("validation", 0.1), ("test", 0.1)):
        sigma = (5160 * fraction * (1 - fraction)) ** 0.5
        assert abs(manifest.rows[split] - 5160 * fraction) < 3 * sigma
    assert manifest.rows == {"train": 4105, "validation": 553, "test": 502}, "the same on every machine"


def test_content_fingerprint_does_not_depend_on_row_order(ingest, tmp_path):
    lines = MESSAGES.read_text(encoding="utf-8").splitlines(keepends=True)
    (tmp_path / "reversed.tsv").write_text("".join(reversed(lines)), encoding="utf-8")
    forwards, *_ = ingest(MESSAGES, ["label", "text"])
    backwards, *_ = ingest(tmp_path / "reversed.tsv", ["label", "text"], name="reversed")
    assert forwards.fingerprint == backwards.fingerprint


@pytest.mark.parametrize(
    "name",
    ["a.csv", "a.tsv", "a.jsonl", "a.parquet", "a.csv.gz", "a.tsv.zst", "a.jsonl.gz", "a.csv.zst", "A.CSV", "a.txt"],
)
def test_each_format_and_compression_gives_the_same_rows(ingest, tmp_path, name):
    path = tmp_path / name
    path = write(path.with_name(name.lower())).rename(path)
    manifest, splits, _ = ingest(path)
    assert everything(splits) == set(ROWS)
    assert manifest.rows_read == len(ROWS)


def test_folder_and_glob_are_read_without_hidden_files(ingest, tmp_path):
    """The matching files are read one by one."""
    folder = tmp_path / "in"
    folder.mkdir()
    write(folder / "a.csv", ROWS[:100])
    write(folder / "b.csv", ROWS[90:])
    (folder / "_SUCCESS").write_text("")
    (folder / ".hidden.csv").write_text("nonsense")
    for source in (folder, folder / "?.csv"):
        manifest, splits, _ = ingest(source, name=source.name.strip("?."))
        assert everything(splits) == set(ROWS)
        assert manifest.duplicates == 10


def test_unusable_rows_are_rejected_with_reason_and_row_number(ingest, tmp_path):
    rows = [f"{text}\t{label}".encode() for text, label in ROWS]
    bad = {
        3: b"\tham",
        5: b" \xc2\xa0 \tham",
        7: b"no label\t",
        9: b"caf\xe9\tham",
        11: b"both\tham",
        13: b"both\tspam",
    }
    for row, line in bad.items():
        rows[row - 1] = line
    (tmp_path / "a.tsv").write_bytes(b"text\tlabel\n" + b"\n".join(rows) + b"\n")
    manifest, splits, rejected = ingest(tmp_path / "a.tsv")
    assert [(row["row"], row["reason"]) for row in rejected] == [
        (3, "empty text"),
        (5, "empty text"),
        (7, "missing label"),
        (9, "undecodable bytes"),
        (11, "conflicting labels"),
        (13, "conflicting labels"),
    ]
    assert {row["file"] for row in rejected} == {str(tmp_path / "a.tsv")}
    assert rejected[3]["text"] == "caf\ufffd"
    assert manifest.rejected == {"conflicting labels": 2, "empty text": 2, "missing label": 1, "undecodable bytes": 1}
    assert sum(manifest.rows.values()) == len(ROWS) - len(bad)
    assert not {"both", "no label"} & {text for text, _ in everything(splits)}


def test_white_space_and_zero_width_text_counts_as_empty(ingest, tmp_path):
    """This holds for texts and for labels."""
    blank = [("\u2003\u3000", "ham"), ("\u200b\u2060", "ham"), ("some text", "\u2003")]
    manifest, _, rejected = ingest(write(tmp_path / "a.csv", ROWS + blank))
    reasons = [row["reason"] for row in rejected if row["action"] == "rejected"]
    assert reasons == ["empty text", "empty text", "missing label"]
    assert manifest.labels == ["ham", "spam"]


def test_label_with_invalid_utf8_shows_replacement_characters(ingest, tmp_path):
    write(tmp_path / "a.csv").write_bytes((tmp_path / "a.csv").read_bytes() + b"caf\xc3\xa9,h\xe9m\n")
    (row,) = ingest(tmp_path / "a.csv")[2]
    assert (row["reason"], row["text"], row["label"]) == ("undecodable bytes", "caf\u00e9", "h\ufffdm")


def test_quotes_are_text_in_tsv_and_quoting_in_csv(ingest, tmp_path):
    hard = [('he said "hi', "ham"), ('"', "spam"), ("it's 5' 3\"", "ham")]
    _, splits, _ = ingest(write(tmp_path / "a.tsv", ROWS + hard))
    assert set(hard) <= everything(splits)
    (tmp_path / "a.csv").write_text(
        "text,label\n" + "".join(f"{text},{label}\n" for text, label in ROWS) + '"a, ""b""\nc",ham\n'
    )
    _, splits, _ = ingest(tmp_path / "a.csv", name="csv")
    assert ('a, "b"\nc', "ham") in everything(splits)


def test_unused_columns_may_be_unnamed_or_share_a_name(ingest, tmp_path):
    for number, header in enumerate((",text,label,x,x", "Text,text,label,LABEL,")):
        rows = "".join(f"{row},{text},{label},y,z\n" for row, (text, label) in enumerate(ROWS))
        (tmp_path / "a.csv").write_text(f"{header}\n{rows}")
        assert everything(ingest(tmp_path / "a.csv", name=f"out{number}")[1]) == set(ROWS)


def test_first_row_without_a_header_may_span_several_lines(ingest, tmp_path):
    (tmp_path / "a.csv").write_text('"first\n\nrow",ham\n' + "".join(f"{text},{label}\n" for text, label in ROWS))
    manifest, splits, _ = ingest(tmp_path / "a.csv", ["text", "label"])
    assert everything(splits) == {("first\n\nrow", "ham"), *ROWS}
    assert manifest.rows_read == 201


def test_a_files_name_and_folder_are_no_pattern_and_no_data(ingest, tmp_path):
    folder = tmp_path / "label=wrong"
    folder.mkdir()
    for kind in ("csv", "tsv", "jsonl", "parquet"):
        write(folder / f"a1.{kind}", [("another file", "wrong")])
        manifest, splits, _ = ingest(write(folder / f"a[1].{kind}"), name=kind)
        assert everything(splits) == set(ROWS)
        assert manifest.labels == ["ham", "spam"]


def test_json_rows_may_omit_keys_and_vary_their_order(ingest, tmp_path):
    """The order may differ from file to file."""
    folder = tmp_path / "in"
    folder.mkdir()
    write(folder / "a.jsonl")
    (folder / "b.jsonl").write_bytes(
        b'\xef\xbb\xbf{"text": "without a label"}\n\n{"text": "other", "label": "ham"}\n{"label": "spam"}\n'
    )
    manifest, splits, rejected = ingest(folder)
    assert everything(splits) == {("other", "ham"), *ROWS}
    assert [(Path(row["file"]).name, row["row"], row["reason"]) for row in rejected] == [
        ("b.jsonl", 1, "missing label"),
        ("b.jsonl", 3, "empty text"),
    ]
    assert manifest.rows_read == 203


def test_texts_that_parquet_holds_as_bytes_are_decoded(ingest, tmp_path):
    texts = [text.encode() for text, _ in ROWS] + ["caf\u00e9 \\x41".encode(), b"caf\xe9"]
    labels = [label for _, label in ROWS] + ["ham", "ham"]
    pq.write_table(pa.table({"text": pa.array(texts, pa.binary()), "label": labels}), tmp_path / "a.parquet")
    _, splits, rejected = ingest(tmp_path / "a.parquet")
    assert everything(splits) == {("caf\u00e9 \\x41", "ham"), *ROWS}
    assert [(row["row"], row["reason"]) for row in rejected] == [(202, "undecodable bytes")]


def test_labels_are_stripped_and_may_be_numbers_or_booleans(ingest, tmp_path):
    content = "".join(json.dumps({"text": text, "label": int(label == "spam")}) + "\n" for text, label in ROWS)
    (tmp_path / "a.jsonl").write_text(content)
    assert ingest(tmp_path / "a.jsonl")[0].labels == ["0", "1"]
    truths = "".join(json.dumps({"text": text, "label": label == "spam"}) + "\n" for text, label in ROWS)
    (tmp_path / "c.jsonl").write_text(truths)
    assert ingest(tmp_path / "c.jsonl", name="c")[0].labels == ["false", "true"]
    table = pa.table({"text": [text for text, _ in ROWS], "label": [label == "spam" for _, label in ROWS]})
    pq.write_table(table, tmp_path / "d.parquet")
    assert ingest(tmp_path / "d.parquet", name="d")[0].labels == ["false", "true"]
    spaced = write(tmp_path / "b.csv", [(text, f" {label} ") for text, label in ROWS])
    assert ingest(spaced, name="b")[0].labels == ["ham", "spam"]


def test_column_names_cannot_inject_sql(ingest, tmp_path):
    evil = "t\"); DROP TABLE raw; --'"
    pq.write_table(
        pa.table({evil: [text for text, _ in ROWS], "label": [label for _, label in ROWS]}), tmp_path / "it's.parquet"
    )
    assert everything(ingest(tmp_path / "it's.parquet", text=evil)[1]) == set(ROWS)


def test_byte_order_marks_and_windows_line_ends_are_dropped(ingest, tmp_path):
    content = "\ufefftext,label\r\n" + "".join(f"{text},{label}\r\n" for text, label in ROWS)
    (tmp_path / "a.csv").write_bytes(content.encode())
    assert everything(ingest(tmp_path / "a.csv")[1]) == set(ROWS)


def test_a_tsv_whose_lines_end_in_both_ways_is_read(ingest, tmp_path):
    path = write(tmp_path / "a.tsv", ROWS[:100])
    path.write_bytes(path.read_bytes() + "".join(f"{text}\t{label}\r\n" for text, label in ROWS[100:]).encode())
    assert everything(ingest(path)[1]) == set(ROWS)


def test_notes_are_lines_that_the_user_sees(steps, tmp_path, capfd):
    path = write(tmp_path / "a.csv", [(text, "1.0" if label == "ham" else "1") for text, label in ROWS])
    steps(source={"files": str(path)}, cleaning={"near_duplicates": 0})
    assert "anomaly warn label: '1' and '1.0' are two classes." in capfd.readouterr().out


def test_step_logs_splits_and_accepts_kfp_numbers(store, steps):
    """It takes numbers in the form in which KFP passes them."""
    dataset, step = steps(source={"files": str(MESSAGES)}, columns=["label", "text"])
    summary = "4,104 train, 549 validation, 495 test, 414 duplicate, 12 rejected, 35 changed"
    assert dataset.metadata["summary"] == summary
    locate = run_tree.children(store.client, store.parent)[0]
    assert locate.data.tags[tags.STEP] == "locate"
    assert [found.dataset.name for found in step.inputs.dataset_inputs] == [
        "train split",
        "validation split",
        "test split",
    ]
    assert step.data.metrics["rows_read"] == 5574
    assert step.data.metrics["rejected/near-duplicate across splits"] == 12
    assert step.data.metrics["changed/control characters"] == 35
    assert step.data.params["text_column"] == "text"
    parent = store.client.get_run(store.parent).data
    assert parent.tags[tags.KFP_RUN_ID] == "p"
    assert parent.tags[tags.CONFIG_FILE] == "c.yaml"
    assert parent.tags[tags.FINGERPRINT] == dataset.metadata["fingerprint"]
    assert tags.GIT_COMMIT not in parent.tags


@pytest.mark.parametrize("kind", ["files", "splits", "query"])
def test_each_split_is_an_mlflow_input_with_source_and_content(steps, tmp_path, kind):
    # MLflow takes data of one name and content for one, and shows the source that it saw first: other rows each time.
    path = write(tmp_path / "a.csv", [(f"{text} of {kind}", label) for text, label in ROWS[:150]])
    tests = write(tmp_path / "b.csv", ROWS[150:])
    source = {"files": str(path)}
    if kind == "splits":
        source = {"train": str(path), "test": str(tests)}
    elif kind == "query":
        source = {"sql": "SELECT * FROM 'a.csv'", "folder": str(tmp_path)}
    dataset, step = steps(source=source, cleaning={"near_duplicates": 0})
    inputs = {found.tags[0].value: found.dataset for found in step.inputs.dataset_inputs}
    assert inputs.keys() == set(SPLITS)
    for split, found in inputs.items():
        assert found.digest == f"{dataset.metadata['fingerprint'][:16]}-{dataset.metadata[f'rows_{split}']}"
    if kind == "query":
        assert json.loads(inputs["test"].source) == {"tags": {"sql": "SELECT * FROM 'a.csv'", "connection": ""}}
    else:
        assert json.loads(inputs["validation"].source) == {"uri": str(path)}
        assert json.loads(inputs["test"].source) == {"uri": str(tests if kind == "splits" else path)}


def test_source_fingerprint_changes_only_when_a_byte_changes(tmp_path):
    path = write(tmp_path / "a.csv")
    settings = IngestSettings.of(source={"files": str(path)})
    first = fingerprint(settings)
    path.write_bytes(path.read_bytes())
    assert fingerprint(settings) == first
    path.write_bytes(path.read_bytes().replace(b"number 7", b"number X"))
    assert fingerprint(settings) != first
    assert re.fullmatch("[0-9a-f]{64}", first)
