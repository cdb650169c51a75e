"""Ingest on real messages and on small files with something wrong in them."""

import gzip
import json
import re
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from components.common import tracking
from components.common.dataset import SPLITS, Manifest, read_split
from components.common.errors import BerthError
from components.ingest.source import find_source, fingerprint
from components.ingest.step import Fractions, ingest_source
from tests.components.conftest import component_body

MESSAGES = Path(__file__).parents[3] / "examples/sms-spam/sms_spam_collection.tsv"
FRACTIONS = Fractions(0.8, 0.1, 0.1, 0)


@pytest.fixture
def ingest(tmp_path):
    """Return a function that ingests a source and returns the manifest, the rows by split, and the rejected rows."""

    def ingest(source, columns=(), text="text", label="label", fractions=FRACTIONS, name="dataset"):
        dataset, rejected = tmp_path / name, tmp_path / f"{name}-rejected" / "rejected"
        manifest = ingest_source(str(source), list(columns), text, label, fractions, dataset, rejected)
        assert Manifest.read(dataset) == manifest
        splits = {split: list(zip(*read_split(dataset, split), strict=True)) for split in SPLITS}
        return manifest, splits, pq.read_table(rejected).to_pylist()

    return ingest


def everything(splits) -> set[tuple[str, str]]:
    return {row for split in splits.values() for row in split}


ROWS = [(f"text number {number}", "ham" if number % 3 else "spam") for number in range(200)]


def test_every_real_message_is_read_and_no_text_is_in_two_splits(ingest):
    manifest, splits, rejected = ingest(MESSAGES, ["label", "text"])
    real = [tuple(reversed(line.split("\t", 1))) for line in MESSAGES.read_text(encoding="utf-8").splitlines()]
    assert manifest.rows_read == len(real) == 5574
    assert everything(splits) == set(real)
    assert sum(manifest.rows.values()) == len(set(real)) == 5160
    assert manifest.duplicates == 414
    assert rejected == []
    assert manifest.labels == ["ham", "spam"]
    normalised = [{" ".join(text.split()).lower() for text, _ in splits[split]} for split in SPLITS]
    assert not normalised[0] & normalised[1]
    assert not normalised[0] & normalised[2]
    assert not normalised[1] & normalised[2]


def test_the_split_of_a_text_depends_on_the_text_and_the_seed_alone(ingest, tmp_path):
    lines = MESSAGES.read_text(encoding="utf-8").splitlines(keepends=True)
    (tmp_path / "half.tsv").write_text("".join(reversed(lines[: len(lines) // 2])), encoding="utf-8")
    manifest, whole, _ = ingest(MESSAGES, ["label", "text"])
    half_manifest, half, _ = ingest(tmp_path / "half.tsv", ["label", "text"], name="half")
    for split in SPLITS:
        assert set(half[split]) <= set(whole[split])
    assert half_manifest.fingerprint != manifest.fingerprint
    other, *_ = ingest(MESSAGES, ["label", "text"], fractions=Fractions(0.8, 0.1, 0.1, 1), name="seed")
    assert other.rows != manifest.rows


def test_texts_that_differ_in_case_white_space_or_unicode_form_only_share_a_split(ingest, tmp_path):
    variants = ("Caf\u00e9 number {}", "cafe\u0301 NUMBER {}", "  caf\u00e9\u2003number \u00a0 {} ")
    rows = [(variant.format(number), "ab"[number % 2]) for number in range(200) for variant in variants]
    manifest, splits, _ = ingest(write(tmp_path / "a.tsv", rows))
    assert manifest.duplicates == 0
    assert sum(manifest.rows.values()) == 600
    numbers = [{text.split()[-1] for text, _ in splits[split]} for split in SPLITS]
    assert sum(map(len, numbers)) == len(set.union(*numbers)) == 200


def test_the_fractions_hold_within_three_sigma_and_the_split_is_known(ingest):
    manifest, *_ = ingest(MESSAGES, ["label", "text"])
    for split, fraction in (("train", 0.8), ("validation", 0.1), ("test", 0.1)):
        sigma = (5160 * fraction * (1 - fraction)) ** 0.5
        assert abs(manifest.rows[split] - 5160 * fraction) < 3 * sigma
    assert manifest.rows == {"train": 4105, "validation": 553, "test": 502}, "the same on every machine"


def test_the_content_fingerprint_does_not_depend_on_the_order_of_rows(ingest, tmp_path):
    lines = MESSAGES.read_text(encoding="utf-8").splitlines(keepends=True)
    (tmp_path / "reversed.tsv").write_text("".join(reversed(lines)), encoding="utf-8")
    forwards, *_ = ingest(MESSAGES, ["label", "text"])
    backwards, *_ = ingest(tmp_path / "reversed.tsv", ["label", "text"], name="reversed")
    assert forwards.fingerprint == backwards.fingerprint


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


def test_a_folder_and_a_glob_are_read_file_by_file_and_hidden_files_are_not(ingest, tmp_path):
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


def test_white_space_and_characters_without_width_are_no_text_and_no_label(ingest, tmp_path):
    blank = [("\u2003\u3000", "ham"), ("\u200b\u2060", "ham"), ("some text", "\u2003")]
    manifest, _, rejected = ingest(write(tmp_path / "a.csv", ROWS + blank))
    assert [row["reason"] for row in rejected] == ["empty text", "empty text", "missing label"]
    assert manifest.labels == ["ham", "spam"]


def test_a_label_that_is_not_utf8_is_shown_with_replacement_characters(ingest, tmp_path):
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


def test_columns_that_are_not_asked_for_may_have_no_name_or_the_name_of_another(ingest, tmp_path):
    for number, header in enumerate((",text,label,x,x", "Text,text,label,LABEL,")):
        rows = "".join(f"{row},{text},{label},y,z\n" for row, (text, label) in enumerate(ROWS))
        (tmp_path / "a.csv").write_text(f"{header}\n{rows}")
        assert everything(ingest(tmp_path / "a.csv", name=f"out{number}")[1]) == set(ROWS)


def test_the_first_row_of_a_file_without_a_header_may_have_several_lines(ingest, tmp_path):
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


def test_json_rows_may_leave_a_key_out_and_files_may_order_them_otherwise(ingest, tmp_path):
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


def test_labels_are_stripped_and_numbers_are_labels_too(ingest, tmp_path):
    content = "".join(json.dumps({"text": text, "label": int(label == "spam")}) + "\n" for text, label in ROWS)
    (tmp_path / "a.jsonl").write_text(content)
    assert ingest(tmp_path / "a.jsonl")[0].labels == ["0", "1"]
    spaced = write(tmp_path / "b.csv", [(text, f" {label} ") for text, label in ROWS])
    assert ingest(spaced, name="b")[0].labels == ["ham", "spam"]


def test_column_names_cannot_inject_sql(ingest, tmp_path):
    evil = "t\"); DROP TABLE raw; --'"
    pq.write_table(
        pa.table({evil: [text for text, _ in ROWS], "label": [label for _, label in ROWS]}), tmp_path / "it's.parquet"
    )
    assert everything(ingest(tmp_path / "it's.parquet", text=evil)[1]) == set(ROWS)


def test_byte_order_marks_and_windows_line_ends_are_no_part_of_the_data(ingest, tmp_path):
    content = "\ufefftext,label\r\n" + "".join(f"{text},{label}\r\n" for text, label in ROWS)
    (tmp_path / "a.csv").write_bytes(content.encode())
    assert everything(ingest(tmp_path / "a.csv")[1]) == set(ROWS)


def test_a_tsv_whose_lines_end_in_both_ways_is_read(ingest, tmp_path):
    path = write(tmp_path / "a.tsv", ROWS[:100])
    path.write_bytes(path.read_bytes() + "".join(f"{text}\t{label}\r\n" for text, label in ROWS[100:]).encode())
    assert everything(ingest(path)[1]) == set(ROWS)


def fails(source, message, columns=(), text="text", label="label"):
    """Assert that finding and ingesting `source` ends in one line that matches `message`."""
    with pytest.raises(BerthError, match=message) as caught:
        ingest_source(str(source), list(columns), text, label, FRACTIONS, Path("dataset"), Path("rejected"))
    assert "\n" not in str(caught.value)
    assert not Path("dataset").exists()
    assert not Path("rejected").exists()


@pytest.fixture
def here(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_source_that_is_not_there(here):
    fails("gone.csv", r"source: no file gone\.csv")
    fails("*.csv", r"source: no file matches \*\.csv")
    (here / "empty").mkdir()
    fails("empty", "the folder empty holds no files")
    fails("", "source: names nothing")
    fails("s3://bucket/a.csv", "is an address; Berth reads files of this machine")


def test_a_file_with_nothing_in_it(here):
    (here / "a.csv").write_text("")
    fails("a.csv", r"a\.csv: the file is empty")
    (here / "a.csv").write_text("\n \n")
    fails("a.csv", "blank lines only")
    (here / "a.csv").write_text("text,label\n")
    fails("a.csv", "none of its 0 rows is usable")


def test_a_column_that_is_not_there_is_named_with_those_that_are(here):
    write(here / "a.csv")
    fails(
        "a.csv",
        r"label_column: no column 'lable' in a\.csv\. Did you mean 'label'\? It has: text, label",
        label="lable",
    )
    write(here / "a.jsonl")
    fails("a.jsonl", r"text_column: no column 'body' in a\.jsonl\. It has: label, text, extra", text="body")
    write(here / "a.parquet")
    fails("a.parquet", r"text_column: no column 'body' in a\.parquet\. It has: text, label", text="body")
    fails("a.csv", "line 1 has 2 columns, and 'columns' names 3", columns=["text", "label", "more"])
    (here / "b.csv").write_text("text,label,text\na,ham,b\n")
    fails("b.csv", r"text_column: b\.csv has several columns 'text'\. Rename all but one")
    (here / "b.csv").write_text("a long message " * 1000 + ",ham\n")
    fails("b.csv", r"no column 'text' in b\.csv\. It has: (a long message ){4}\.\.\., ham\.")


def test_a_name_that_does_not_say_what_the_file_holds(here):
    (here / "a.xlsx").write_text("x")
    fails("a.xlsx", r"a\.xlsx: its name does not say what it holds\. Berth reads \.csv, \.tsv")


def test_files_that_do_not_go_together(here):
    (here / "in").mkdir()
    write(here / "in/a.csv")
    write(here / "in/b.jsonl")
    fails("in", r"different formats \(csv, json\)")
    (here / "in/b.jsonl").unlink()
    (here / "in/b.csv").write_text("text,class\na,b\n")
    fails("in", r"b\.csv: its columns \(text, class\) are not those of a\.csv \(text, label\)")


def test_a_compressed_file_that_is_cut_short(here):
    path = write(here / "a.csv.gz", [(f"{number * 7919} {text}", label) for number, (text, label) in enumerate(ROWS)])
    path.write_bytes(path.read_bytes()[:-200])
    fails("a.csv.gz", r"a\.csv\.gz: cannot be read whole")


def test_a_damaged_parquet_file_and_lines_that_are_not_json(here):
    (here / "a.parquet").write_bytes(b"PAR1 nonsense")
    fails("a.parquet", "not a whole Parquet file")
    (here / "a.jsonl").write_text("{not json}\n")
    fails("a.jsonl", "line 1 is not JSON")
    (here / "b.jsonl").write_text('{"text": "a", "label": "b"}\n{"text": \n')
    fails("b.jsonl", r"b\.jsonl: ")


def test_a_row_with_too_many_columns_is_named_by_its_line(here):
    (here / "a.csv").write_text("text,label\na,ham\nb, c,ham\n")
    fails("a.csv", r"a\.csv: line 3: 3 columns where 2 are expected")


def test_a_header_row_below_a_blank_line(here):
    (here / "a.csv").write_text("\ntext,label\na,ham\n")
    fails("a.csv", r"a\.csv: line 1 is blank, and the header row has to come first")


def test_lines_that_do_not_end_as_lines_do(here):
    content = "text,label\n" + "".join(f"{text},{label}\n" for text, label in ROWS)
    (here / "a.csv").write_bytes(content.encode() + b"a,ham\r\nb,ham\n")
    fails("a.csv", r"a\.csv: its lines do not end alike")
    (here / "a.csv").write_bytes(content.replace("\n", "\r").encode())
    fails("a.csv", r"a\.csv: line 1 cannot be read")
    (here / "a.tsv").write_bytes(content.replace(",", "\t").encode() + b"a\rb\tham\n")
    fails("a.tsv", r"a\.tsv: line 202: a carriage return inside the row")
    (here / "a.tsv").write_bytes(content.replace(",", "\t").replace("\n", "\r").encode())
    fails("a.tsv", r"a\.tsv: line 1: a carriage return inside the row")


def test_quotes_that_do_not_match_are_named_by_their_line(here):
    (here / "a.csv").write_text('text,label\na,ham\n"open,ham\nb,ham\n')
    fails("a.csv", r"a\.csv: line 3: a double quote that is never closed")


def test_a_row_that_is_too_long_and_json_of_another_kind_are_named_by_their_line(here, monkeypatch):
    monkeypatch.setattr("components.ingest.reading._LONGEST_ROW", 1 << 20)
    (here / "a.csv").write_text("text,label\na,ham\n" + "b" * (3 << 20) + ",ham\n")
    fails("a.csv", r"a\.csv: line 3: a row of more than 1 MB")
    rows = "".join(json.dumps({"text": text, "label": label}) + "\n" for text, label in ROWS)
    (here / "a.jsonl").write_text(rows + '["secret"]\n')
    fails("a.jsonl", r"a\.jsonl: line 201: not the JSON that is expected \(Expected OBJECT, but got ARRAY\)")


def test_a_column_of_lists(here):
    labels = [[label] for _, label in ROWS]
    pq.write_table(pa.table({"text": [text for text, _ in ROWS], "label": labels}), here / "a.parquet")
    fails("a.parquet", r"a\.parquet: the column 'label' holds lists or records")


def test_data_that_no_classifier_can_learn_from(here):
    write(here / "a.csv", [(text, "ham") for text, _ in ROWS])
    fails("a.csv", "holds one class only, 'ham'")
    write(here / "a.csv", ROWS[:4])
    fails("a.csv", r"the (validation|test) split is empty: 4 texts are too few")
    write(here / "a.csv", [("", "ham"), ("x", "")])
    fails("a.csv", "none of its 2 rows is usable: 1 empty text, 1 missing label")


def test_the_step_logs_the_splits_and_takes_numbers_as_kfp_gives_them(store, artifact):
    dataset, rejected = artifact("dataset"), artifact("rejected")
    split = {"train": 0.8, "validation": 0.1, "test": 0.1, "seed": 0.0}
    arguments = {"source": str(MESSAGES), "columns": ["label", "text"], "text_column": "text", "label_column": "label"}
    tags = {"pipeline_run_id": "p", "git_commit": "", "config_file": "c.yaml"}
    fingerprint_ = component_body("ingest", "locate")(**arguments, **tags)
    ingest = component_body("ingest", "ingest")
    ingest(**arguments, source_fingerprint=fingerprint_, split=split, dataset=dataset, rejected=rejected)
    assert dataset.metadata["summary"] == "4,105 train, 553 validation, 502 test, 414 duplicate"
    locate, step = tracking.children(store.client, store.parent)
    assert locate.data.tags[tracking.STEP] == "locate"
    assert [found.dataset.name for found in step.inputs.dataset_inputs] == [
        "train split",
        "validation split",
        "test split",
    ]
    assert step.data.metrics["rows_read"] == 5574
    parent = store.client.get_run(store.parent).data
    assert parent.tags[tracking.KFP_RUN_ID] == "p"
    assert parent.tags[tracking.CONFIG_FILE] == "c.yaml"
    assert parent.tags[tracking.FINGERPRINT] == dataset.metadata["fingerprint"]
    assert tracking.GIT_COMMIT not in parent.tags


def test_the_source_fingerprint_changes_with_a_byte_and_only_then(tmp_path):
    path = write(tmp_path / "a.csv")
    first = fingerprint(find_source(str(path), [], "text", "label"))
    path.write_bytes(path.read_bytes())
    assert fingerprint(find_source(str(path), [], "text", "label")) == first
    path.write_bytes(path.read_bytes().replace(b"number 7", b"number X"))
    assert fingerprint(find_source(str(path), [], "text", "label")) != first
    assert re.fullmatch("[0-9a-f]{64}", first)
