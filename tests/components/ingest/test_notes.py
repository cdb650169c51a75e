"""Doubtful labels and texts: nothing is guessed, and one line says what may be wrong."""

import pytest

from tests.components.ingest.conftest import ROWS, write
from tests.support.bad_sources import fails

CASES = {
    "case": (["ham", "Ham", "spam"], "label: 'Ham' and 'ham' are different classes. If"),
    "a missing label as a word": (
        ["ham", "nan", "spam"],
        "label: 'nan' is a class. If it says that a label is missing",
    ),
    "zeros in front": (["0", "1", "01"], "label: '1' and '01' are two classes. If they are one, map '01'"),
    "zeros behind": (["0", "1.50", "1.5"], "label: '1.5' and '1.50' are two classes. If they are one, map '1.50'"),
}


@pytest.mark.parametrize("case", CASES)
def test_labels_that_may_be_the_same_or_missing_are_noted(ingest, tmp_path, case):
    labels, expected = CASES[case]
    rows = [(text, labels[number % 3]) for number, (text, _) in enumerate(ROWS)]
    manifest, _, _ = ingest(write(tmp_path / "a.csv", rows))
    assert manifest.labels == sorted(labels)
    (note,) = manifest.notes
    assert note.startswith(expected)


def test_many_spellings_of_numbers_are_one_note(ingest, tmp_path):
    rows = [(text, f"{number % 8}{'.0' if number % 3 else ''}") for number, (text, _) in enumerate(ROWS)]
    (note,) = ingest(write(tmp_path / "a.csv", rows))[0].notes
    assert note.startswith("label: '0' and '0.0', ")
    assert "'4' and '4.0' and 3 more are each two classes." in note


def test_quoted_labels_of_a_tsv_are_noted(ingest, tmp_path):
    (tmp_path / "a.tsv").write_text("text\tlabel\n" + "".join(f'{text}\t"{label}"\n' for text, label in ROWS))
    (note,) = ingest(tmp_path / "a.tsv")[0].notes
    assert note.startswith("label: labels such as '\"ham\"' stay in their quotes: a TSV has no quoting")


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        (["nan", "nan"], "text: 2 rows have the text 'nan'. If it says"),
        (
            [f"{number} caf\u00c3\u00a9" for number in range(9)],
            "text: 9 of 209 texts have letters such as '\u00c3\u00a9', which",
        ),
        ([f"it\u00e2\u20ac\u2122s {number}" for number in range(9)], "text: 9 of 209 texts have letters such as"),
    ],
)
def test_texts_that_may_be_missing_or_garbled_are_noted(ingest, tmp_path, texts, expected):
    (note,) = ingest(write(tmp_path / "a.csv", [*ROWS, *((text, "ham") for text in texts)]))[0].notes
    assert note.startswith(expected)


def test_words_of_languages_and_few_odd_texts_are_not_noted(ingest, tmp_path):
    rows = [(f"N\u00c3O {text} \u00e2ge \u20ac5", label) for text, label in ROWS] + [("nan", "ham")]
    assert ingest(write(tmp_path / "a.csv", rows))[0].notes == []


@pytest.mark.parametrize("label", ["id{0}", "{0}.37"])
def test_a_column_that_has_no_classes_is_refused_as_such(here, label):
    rows = "".join(f"{text},{label.format(number)}\n" for number, (text, _) in enumerate(ROWS))
    (here / "a.csv").write_text("text,label\n" + rows)
    fails(r"a\.csv: the column 'label' has 200 different labels in 200 texts, such as .*A class needs several", "a.csv")
