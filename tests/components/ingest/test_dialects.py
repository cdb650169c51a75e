"""CSV and TSV files as spreadsheets and databases write them."""

import pytest

from tests.components.ingest.conftest import ROWS, everything, write
from tests.support.bad_sources import fails

NAMES = ("text", "label")


def delimited(path, delimiter=",", rows=ROWS, above="", header=True):
    lines = [NAMES, *rows] if header else rows
    path.write_text(above + "".join(f"{delimiter.join(row)}\n" for row in lines))
    return path


@pytest.mark.parametrize("delimiter", [";", "\t", "|"])
def test_other_delimiters_of_a_csv_are_known_by_its_header(ingest, tmp_path, delimiter):
    rows = [(f'"a{delimiter} ""b"", {text}"', label) for text, label in ROWS]
    _, splits, _ = ingest(delimited(tmp_path / "a.csv", delimiter, rows))
    assert everything(splits) == {(f'a{delimiter} "b", {text}', label) for text, label in ROWS}


def test_without_a_header_the_delimiter_fits_every_row(ingest, tmp_path):
    rows = [(f"one, two, {text}" if number % 2 else f"one, {text}", label) for number, (text, label) in enumerate(ROWS)]
    manifest, splits, _ = ingest(delimited(tmp_path / "a.csv", ";", rows, header=False), NAMES)
    assert everything(splits) == set(rows)
    (note,) = manifest.notes
    assert note.endswith("read with a semicolon between columns: then each row has those of 'columns'.")
    commas = [(f"#{text}; {text}", label) for text, label in ROWS]
    manifest, splits, _ = ingest(delimited(tmp_path / "b.csv", ",", commas, header=False), NAMES, name="commas")
    assert (everything(splits), manifest.notes) == (set(commas), [])


def test_shards_may_have_different_delimiters(ingest, tmp_path):
    (tmp_path / "in").mkdir()
    delimited(tmp_path / "in" / "a.csv", ";", ROWS[:100])
    delimited(tmp_path / "in" / "b.csv", ",", ROWS[100:], above="# exported\n")
    assert everything(ingest(tmp_path / "in")[1]) == set(ROWS)


ABOVE = ("sep=;\n", "\ufeffsep=;\n", '"sep=;"\n', "# made by a tool\n# and another, line\n", "sep=;\n# a\n\n")


@pytest.mark.parametrize("above", ABOVE)
def test_lines_above_the_header_are_skipped(ingest, tmp_path, monkeypatch, above):
    path = delimited(tmp_path / "a.csv", ";", above=above)
    manifest, splits, _ = ingest(path)
    assert (everything(splits), manifest.rows_read) == (set(ROWS), len(ROWS))
    monkeypatch.chdir(tmp_path)
    path.write_text(path.read_text().replace("text number 5;", "text; number 5;"))
    fails(rf"a\.csv: line {above.count(chr(10)) + 7}: 3 columns where 2", "a.csv")


def test_lines_above_the_header_may_end_in_another_way(ingest, tmp_path):
    """A tool wrote them above a file of another system."""
    path = delimited(tmp_path / "a.csv")
    path.write_bytes(b"# made by a tool\n" + path.read_bytes().replace(b"\n", b"\r\n"))
    assert everything(ingest(path)[1]) == set(ROWS)


@pytest.mark.parametrize("other", [0, 100])
@pytest.mark.parametrize("inside", ["", "\r\n", "\n"], ids=["one line", "lines of Windows", "lines"])
def test_one_line_may_end_in_another_way(ingest, tmp_path, other, inside):
    """The header or any row; line ends inside quotes stay as they are."""
    rows = [(f"{text}{inside}{text}", label) for text, label in ROWS]
    written = ["text,label", *(f'"{text}",{label}' for text, label in rows)]
    for one, usual in (("\n", "\r\n"), ("\r\n", "\n")):
        ends = (one if number == other else usual for number in range(len(written)))
        (tmp_path / "a.csv").write_bytes("".join(line + end for line, end in zip(written, ends, strict=True)).encode())
        assert everything(ingest(tmp_path / "a.csv", name=repr(one))[1]) == set(rows)


def test_a_comment_above_the_header_of_a_tsv_is_skipped(ingest, tmp_path):
    assert everything(ingest(delimited(tmp_path / "a.tsv", "\t", above="# a\n"))[1]) == set(ROWS)


def test_texts_and_names_that_begin_with_a_hash_are_kept(ingest, tmp_path):
    rows = [(f"#{text}", label) for text, label in ROWS]
    assert everything(ingest(delimited(tmp_path / "a.csv", rows=rows))[1]) == set(rows)
    path = delimited(tmp_path / "b.csv", rows=rows)
    path.write_text(path.read_text().replace("text,label", "#text,label"))
    assert everything(ingest(path, text="#text", name="names")[1]) == set(rows)
    assert everything(ingest(delimited(tmp_path / "c.csv", rows=rows, header=False), NAMES, name="none")[1]) == set(
        rows
    )


def test_a_comment_among_the_rows_is_named_as_one(here):
    delimited(here / "a.csv", rows=[*ROWS[:3], ("# a comment",), *ROWS[3:]])
    fails(r"a\.csv: line 5: 1 columns where 2 are expected\..*A comment may only be above the header", "a.csv")


def test_a_line_break_in_a_tsv_gets_advice_for_tsv(here):
    delimited(here / "a.tsv", "\t", [*ROWS[:3], ('"a broken',), ('text"', "ham"), *ROWS[3:]])
    fails(r"a\.tsv: line 5: 1 columns where 2 are expected\. A text in a TSV has neither .* save it as \.csv", "a.tsv")


@pytest.mark.parametrize("header", [True, False])
def test_a_first_row_may_be_very_long(ingest, tmp_path, header):
    rows = [("long " * 40_000 + "end", "ham"), *ROWS]
    path = delimited(tmp_path / "a.csv", rows=rows, header=header)
    assert everything(ingest(path, () if header else NAMES)[1]) == set(rows)


def test_quotes_of_another_tool_in_a_tsv_are_noted(ingest, tmp_path):
    """pandas writes them; a TSV has no quoting, so they stay."""
    rows = [('"he said ""no"" to it"', "ham"), *ROWS]
    manifest, splits, _ = ingest(write(tmp_path / "a.tsv", rows))
    assert rows[0] in everything(splits)
    assert manifest.notes == [
        "text: 1 texts of a TSV are in quotes with doubled quotes inside, and stay so: a TSV has no quoting. Name the "
        "file .csv if it has; tabs are understood there."
    ]
