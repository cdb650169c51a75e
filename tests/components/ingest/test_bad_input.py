"""Sources with something wrong: each ends in one line that says what to change, and nothing half-written."""

import gzip
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.components.ingest.conftest import ROWS
from tests.support.bad_sources import CSV, LABELS, TEXTS, fails, table


def text(name: str, content: str | bytes) -> Callable[[], None]:
    """Return a function that writes the file `name`."""
    return lambda: (
        Path(name).write_bytes(content) if isinstance(content, bytes) else Path(name).write_text(content)  # type: ignore[func-returns-value]
    )


def folder(**files: str) -> Callable[[], None]:
    def make() -> None:
        Path("in").mkdir()
        for name, content in files.items():
            (Path("in") / name.replace("__", ".")).write_text(content)

    return make


CASES = {
    # There is no such source, or nothing in it.
    "a file that is not there": (lambda: None, "gone.csv", {}, r"source: no file gone\.csv"),
    "a glob that matches nothing": (lambda: None, "*.csv", {}, r"source: no file matches \*\.csv"),
    "a folder without files": (lambda: Path("in").mkdir(), "in", {}, "the folder in holds no files"),
    "a file of no bytes": (text("a.csv", ""), "a.csv", {}, r"a\.csv: the file is empty"),
    "blank lines only": (text("a.csv", "\n \n"), "a.csv", {}, "blank lines only"),
    "a header row only": (text("a.csv", "text,label\n"), "a.csv", {}, "none of its 0 rows is usable"),
    "a file that may not be read": (
        lambda: Path("a.csv").symlink_to("/proc/self/mem"),
        "a.csv",
        {},
        r"a\.csv: cannot be read|no file a\.csv",
    ),
    "a store of an unknown kind": (lambda: None, "ftp://host/a.csv", {}, "no store of the kind ftp://"),
    "a host that is not there": (
        lambda: None,
        "http://127.0.0.1:9/a.csv",
        {},
        r"http://127\.0\.0\.1:9/a\.csv cannot be",
    ),
    # Not the format that the name says.
    "a name that does not tell the format": (text("a.xlsx", "x"), "a.xlsx", {}, "its name does not say what it holds"),
    "files of two formats": (
        folder(a__csv=CSV, b__jsonl='{"text": "a"}\n'),
        "in",
        {},
        r"different formats \(csv, json\)",
    ),
    "a truncated gzip": (
        text("a.csv.gz", gzip.compress("".join(f"{n * 7919},ham\n" for n in range(9999)).encode())[:-400]),
        "a.csv.gz",
        {"columns": ["text", "label"]},
        r"a\.csv\.gz: cannot be read whole",
    ),
    "a ZIP archive that is named CSV": (
        text("a.csv", b"PK\x03\x04..."),
        "a.csv",
        {},
        "it is a ZIP archive or an Excel",
    ),
    "Parquet that is named CSV": (
        text("a.csv", b"PAR1..."),
        "a.csv",
        {},
        r"a\.csv: it is Parquet, whatever its name is",
    ),
    "Parquet inside gzip": (
        text("a.parquet.gz", gzip.compress(b"PAR1")),
        "a.parquet.gz",
        {},
        "Parquet inside gzip. Unpack",
    ),
    "a damaged Parquet file": (text("a.parquet", b"PAR1 nonsense"), "a.parquet", {}, "not a whole Parquet file"),
    "a CSV that is named Parquet": (text("a.parquet", CSV), "a.parquet", {}, "not a whole Parquet file"),
    "a line that is not JSON": (text("a.jsonl", "{not json}\n"), "a.jsonl", {}, "line 1 is not JSON"),
    "JSON that is not an object": (text("a.jsonl", '["a", "b"]\n'), "a.jsonl", {}, "line 1 is not a JSON object"),
    "JSON that breaks off": (
        text("a.jsonl", '{"text": "a", "label": "b"}\n{"text": \n'),
        "a.jsonl",
        {},
        r"a\.jsonl: line 2",
    ),
    "JSON of another kind further down": (
        text("a.jsonl", "".join(json.dumps({"text": a, "label": b}) + "\n" for a, b in ROWS) + '["secret"]\n'),
        "a.jsonl",
        {},
        r"line 201 is not a JSON object",
    ),
    "letters of no certain encoding": (
        text("a.csv", CSV.encode() + "\u05e9\u05dc\u05d5\u05dd,ham\n".encode("cp1255")),
        "a.csv",
        {},
        r"a\.csv: not UTF-8, and no other encoding is certain \(as likely: .*cp1255.*\)\. Set 'encoding'",
    ),
    # Columns.
    "commas in a .tsv": (text("a.tsv", CSV), "a.tsv", {}, r"delimited by a comma\. A \.csv may be"),
    "one column only": (text("a.csv", "text\n" + "a\n" * 9), "a.csv", {}, r"label_column: no column 'label' in a\.csv"),
    "a misspelt column": (
        text("a.csv", CSV),
        "a.csv",
        {"label_column": "lable"},
        r"label_column: no column 'lable' in a\.csv\. Did you mean 'label'\? It has: text, label",
    ),
    "a column that JSON rows do not have": (
        text("a.jsonl", '{"body": "a", "label": "b"}\n'),
        "a.jsonl",
        {},
        r"text_column: no column 'text' in a\.jsonl\. It has: body, label",
    ),
    "two columns of one name": (text("a.csv", "text,label,text\na,b,c\n"), "a.csv", {}, "several columns 'text'"),
    "a text for a header": (
        text("a.csv", "a long message " * 1000 + ",ham\n"),
        "a.csv",
        {},
        r"It has: (a long message ){4}\.\.\., ham\.",
    ),
    "more names than columns": (
        text("a.csv", CSV),
        "a.csv",
        {"columns": ["text", "label", "more"]},
        "line 1 has 2 columns, and 'columns' names 3",
    ),
    "shards with other columns": (
        folder(a__csv=CSV, b__csv="text,class\na,b\n"),
        "in",
        {},
        r"b\.csv: its columns \(text, class\) are not those of a\.csv",
    ),
    "a Parquet shard with another schema": (
        lambda: (
            Path("in").mkdir(),  # type: ignore[func-returns-value]
            table("in/a.parquet", text=TEXTS, label=LABELS)(),  # type: ignore[func-returns-value]
            table("in/b.parquet", text=TEXTS, kind=LABELS)(),  # type: ignore[func-returns-value]
        ),
        "in",
        {},
        r"in/b\.parquet: its columns \(text, kind\) are not those of a\.parquet",
    ),
    "labels that are lists": (
        table("a.parquet", text=TEXTS, label=[[label] for label in LABELS]),
        "a.parquet",
        {},
        "the column 'label' holds lists or records",
    ),
    "a split column that is not there": (
        text("a.csv", CSV),
        "a.csv",
        {"split": {"by": "column", "column": "part"}},
        r"split\.column: no column 'part'",
    ),
    "a second text that is not there": (
        text("a.csv", CSV),
        "a.csv",
        {"text_pair_column": "other"},
        "text_pair_column: no column 'other'",
    ),
    # Rows.
    "a row with too many columns": (
        text("a.csv", "text,label\na,ham\nb, c,ham\n"),
        "a.csv",
        {},
        r"a\.csv: line 3: 3 columns where 2 are expected",
    ),
    "a row with too few columns": (
        text("a.csv", "text,label\na,ham\nb\n"),
        "a.csv",
        {},
        r"a\.csv: line 3: 1 columns where 2 are expected",
    ),
    "a quote that is never closed": (
        text("a.csv", 'text,label\na,ham\n"open,ham\nb,ham\n'),
        "a.csv",
        {},
        r"a\.csv: line 3: a double quote that is never closed",
    ),
    "a header below a blank line": (text("a.csv", "\ntext,label\na,ham\n"), "a.csv", {}, "line 1 is blank"),
    "old Mac line ends": (text("a.csv", CSV.replace("\n", "\r")), "a.csv", {}, r"a\.csv: line 1 cannot be read"),
    "a carriage return in a .tsv": (
        text("a.tsv", CSV.replace(",", "\t").encode() + b"a\rb\tham\n"),
        "a.tsv",
        {},
        r"a\.tsv: line 202: a carriage return inside the row",
    ),
    "a single line of 50 MB": (
        text("a.csv", "text,label\na,ham\n" + "b" * (50 << 20) + ",ham\n"),
        "a.csv",
        {},
        r"a\.csv: line 3: a row of more than 16 MB",
    ),
    # Nothing to learn from.
    "one label of several": (
        text("a.csv", CSV.replace("spam", "ham")),
        "a.csv",
        {"task": "multi_label"},
        "holds one class only, 'ham'",
    ),
    "a class of two lines": (
        text("a.csv", CSV.replace("spam", '"sp\nam"')),
        "a.csv",
        {},
        r"the class 'sp\\nam' has a line break in it. Rename it with label_map.",
    ),
    "one class only": (text("a.csv", CSV.replace("spam", "ham")), "a.csv", {}, "holds one class only, 'ham'"),
    "too few texts": (
        text("a.csv", "text,label\na,ham\nb,spam\n"),
        "a.csv",
        {},
        r"split is empty: 2 texts are too few",
    ),
    "rows that are all unusable": (
        text("a.csv", 'text,label\n"",ham\nx,\n'),
        "a.csv",
        {},
        "none of its 2 rows is usable: 1 empty text, 1 missing label",
    ),
    "times that are none": (
        text("a.csv", CSV),
        "a.csv",
        {"split": {"by": "time", "column": "label"}},
        "none of its 200 rows is usable: 200 unreadable time",
    ),
    "splits of unknown names": (
        text("a.csv", CSV),
        "a.csv",
        {"split": {"by": "column", "column": "label"}},
        "none of its 200 rows is usable: 200 unknown split",
    ),
    "every label mapped to nothing": (
        text("a.csv", CSV),
        "a.csv",
        {"label_map": {"ham": "", "spam": ""}},
        "none of its 200 rows is usable: 200 label left out",
    ),
    # Settings that cannot be met.
    "a memory limit that is none": (
        text("a.csv", CSV),
        "a.csv",
        {"memory_limit": "much"},
        "memory_limit: 'much' is not a size",
    ),
    "a memory limit that is too small": (
        text("a.csv", CSV),
        "a.csv",
        {"memory_limit": "1KB"},
        r"a\.csv: memory_limit is too small",
    ),
    "a threshold too low to search for": (
        text("a.csv", CSV),
        "a.csv",
        {"cleaning": {"near_duplicates": 0.05}},
        r"cleaning\.near_duplicates: 0\.05 is too low",
    ),
}


@pytest.mark.parametrize("case", CASES, ids=str)
def test_it_ends_in_one_line(here, case):
    prepare, source, settings, message = CASES[case]
    prepare()
    fails(message, source, **settings)


def test_there_are_forty_cases_and_more():
    assert len(CASES) >= 40
