"""The small parts of the contract between steps: errors, progress lines, the dataset layout."""

import pytest

from berth import progress
from berth.data import dataset
from berth.errors import BerthError, nearest


def test_an_error_is_one_line_whatever_it_quotes():
    assert str(BerthError("no column 'a\nb'.\n  Name another.")) == "no column 'a b'. Name another."


def test_text_from_data_cannot_steer_the_terminal():
    message = str(BerthError("the class '\x1b[31mred\u202e' has no text."))
    assert message == "the class '\\x1b[31mred\\u202e' has no text."


@pytest.mark.parametrize(
    ("word", "hint"), [("lable", " Did you mean 'label'?"), ("LABEL", " Did you mean 'label'?"), ("zzz", "")]
)
def test_the_nearest_name_is_offered_only_when_it_is_near(word, hint):
    assert nearest(word, ["text", "label"]) == hint


def test_a_progress_line_says_back_what_was_reported(capsys):
    progress.report(3, 12, "epoch 1/3 · loss 0.12")
    (line,) = capsys.readouterr().out.splitlines()
    assert progress.parse(line) == progress.Progress(3, 12, "epoch 1/3 · loss 0.12")


@pytest.mark.parametrize("line", ["", "progress", "progress 3 of 12", "in progress 3/12 x", "I/O progress"])
def test_other_lines_are_no_progress(line):
    assert progress.parse(line) is None


def test_a_split_is_read_from_all_its_shards_in_order(tmp_path):
    import pyarrow as pa
    import pyarrow.parquet as pq

    folder = dataset.split_dir(tmp_path, "test")
    folder.mkdir()
    for number, texts in enumerate((["a", "b"], ["c"])):
        table = pa.table({"text": texts, "label": ["ham"] * len(texts)})
        pq.write_table(table, folder / f"part-{number:05}.parquet")
    assert dataset.read_split(tmp_path, "test") == (["a", "b", "c"], ["ham", "ham", "ham"])


def test_a_manifest_comes_back_as_it_was_written(tmp_path):
    manifest = dataset.Manifest(
        sources=[dataset.SourceFile(uri="a.csv", size=9, version="2026", rows=3)],
        rows_read=3,
        duplicates=0,
        rejected={"empty text": 1},
        labels=["ham", "späm"],
        rows={"train": 2},
        label_counts={"train": {"ham": 1, "späm": 1}},
        fingerprint="f",
    )
    manifest.write(tmp_path)
    assert dataset.Manifest.read(tmp_path) == manifest
