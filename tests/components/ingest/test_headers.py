"""Header rows where rows of data are expected: files put together, and `columns` for a file that has a header."""

import pytest

from tests.components.ingest.conftest import ROWS, everything
from tests.support.bad_sources import fails


def lines(rows, separator=",") -> str:
    return "".join(f"{text}{separator}{label}\n" for text, label in rows)


@pytest.mark.parametrize(("kind", "separator"), [("csv", ","), ("tsv", "\t")])
@pytest.mark.parametrize("task", ["single_label", "multi_label"])
def test_a_header_in_the_middle_is_rejected_with_a_count(ingest, tmp_path, kind, separator, task):
    header = f"text{separator}label\n"
    parts = [lines(ROWS[start : start + 50], separator) for start in range(0, 200, 50)]
    (tmp_path / f"a.{kind}").write_text("".join(header + part for part in parts))
    manifest, _, rejected = ingest(tmp_path / f"a.{kind}", task=task)
    assert manifest.labels == ["ham", "spam"]
    assert manifest.rejected == {"repeated header": 3}
    assert [row["row"] for row in rejected] == [51, 102, 153]
    assert sum(manifest.rows.values()) == 200


def test_a_file_put_together_without_its_first_header_is_read(ingest, tmp_path):
    (tmp_path / "a.csv").write_text(lines(ROWS[:100]) + "text,label\n" + lines(ROWS[100:]))
    manifest, splits, _ = ingest(tmp_path / "a.csv", columns=["text", "label"])
    assert everything(splits) == set(ROWS)
    assert manifest.rejected == {"repeated header": 1}


@pytest.mark.parametrize(
    ("header", "columns"),
    [
        ("text,label", ["text", "label"]),
        ("Text, LABEL", ["text", "label"]),
        ("label,text", ["text", "label"]),
        ("text,label,country", ["text", "label", "region"]),
    ],
)
def test_columns_for_a_file_with_a_header_are_refused(here, header, columns):
    """The header used to become a row, and `label` a class."""
    more = "" if len(columns) == 2 else ",de"
    (here / "a.csv").write_text(f"{header}\n" + "".join(f"{text},{label}{more}\n" for text, label in ROWS))
    fails(r"a\.csv: line 1 is a header row \(.*\), and 'columns' is for files without one\. Leave", columns=columns)


@pytest.mark.parametrize("shards", [1, 2])
def test_a_first_row_that_may_be_a_header_is_noted(ingest, tmp_path, shards):
    """Its names are not those of `columns`, so nothing is certain."""
    for shard in range(shards):
        (tmp_path / f"{shard}.csv").write_text("message,category\n" + lines(ROWS[shard::shards]))
    manifest, _, _ = ingest(str(tmp_path / "*.csv"), columns=["text", "label"])
    (note,) = manifest.notes
    assert note.startswith("columns: the label 'category' is in a first row alone, with the text 'message'. If that")
    (tmp_path / "0.csv").write_text(lines(ROWS))
    assert ingest(tmp_path / "0.csv", columns=["text", "label"], name="b")[0].notes == []


def test_a_header_in_another_order_further_down_is_refused(here):
    swapped = "".join(f"{label},{text}\n" for text, label in ROWS[100:])
    (here / "a.csv").write_text("text,label\n" + lines(ROWS[:100]) + "label,text\n" + swapped)
    fails(r"a\.csv: row 101 is a header with the columns in another order \(label, text\)\. Split the file there")


def test_a_class_may_have_the_name_of_a_column(ingest, tmp_path):
    rows = [(text, "text" if label == "spam" else "label") for text, label in ROWS]
    (tmp_path / "a.csv").write_text("text,label\n" + lines(rows) + "label,text\n")
    manifest, _, _ = ingest(tmp_path / "a.csv")
    assert manifest.labels == ["label", "text"]
    assert manifest.rejected == {}
