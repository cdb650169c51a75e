"""Labels that look the same are one class, and a label map names labels that are in the data."""

import unicodedata

import pytest

from berth.data.dataset import SPLITS, read_columns
from tests.components.ingest.conftest import AS_IT_IS, ROWS, everything, write
from tests.support.bad_sources import fails

CAFE = "caf\u00e9"


def with_labels(tmp_path, *labels, kind="csv"):
    """Write a file whose rows have the `labels` in turn."""
    return write(
        tmp_path / f"a.{kind}", [(text, labels[number % len(labels)]) for number, (text, _) in enumerate(ROWS)]
    )


def classes(ingested) -> list[str]:
    return ingested[0].labels


@pytest.mark.parametrize(
    "other",
    [
        unicodedata.normalize("NFD", CAFE),
        "caf\u200b\u00e9",
        "\ufeffcaf\u00e9",
        "ca\u00adf\u00e9",
        "\u202acaf\u00e9\u202c",
        "caf\u200d\u00e9",
        "caf\u00e9\x00",
        "ca\x07f\u00e9",
        "\u00a0caf\u00e9\u2028\u200b ",
    ],
)
@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
def test_labels_that_look_the_same_are_one_class(ingest, tmp_path, other, kind):
    """Also where `cleaning` leaves texts as they are."""
    path = with_labels(tmp_path, CAFE, other, "tea", kind=kind)
    manifest, _, rejected = ingest(path)
    assert manifest.labels == [CAFE, "tea"]
    assert set(manifest.changed) <= {"characters of the label", "spaces around the label"}
    assert {row["label"] for row in rejected} == {CAFE}
    assert classes(ingest(path, cleaning=AS_IT_IS, name="as-it-is")) == [CAFE, "tea"]


def test_labels_that_differ_stay_apart(ingest, tmp_path):
    """Case and marks are kept; joiners too where they have a meaning, in emoji and Persian words."""
    labels = [
        "a",
        "A",
        "cafe",
        CAFE,
        "\U0001f469\u200d\U0001f4bb",
        "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645",
        "a b",
    ]
    assert classes(ingest(with_labels(tmp_path, *labels))) == sorted(labels, key=lambda label: label.encode())


def test_several_labels_are_cleaned_one_by_one(ingest, tmp_path):
    other = unicodedata.normalize("NFD", CAFE)
    path = with_labels(tmp_path, f"{CAFE}|tea", f"te\u200ba|{other}", "tea", "\u200b")
    manifest, _, _ = ingest(path, task="multi_label", label_separator="|")
    assert manifest.labels == [CAFE, "tea"]
    assert manifest.changed == {"characters of the label": 100}


def test_entities_in_labels_are_turned_where_texts_are(ingest, tmp_path):
    path = with_labels(tmp_path, "R&amp;D", "R&D", "HR")
    assert classes(ingest(path)) == ["HR", "R&D", "R&amp;D"]
    assert classes(ingest(path, cleaning={"near_duplicates": 0, "html_entities": True}, name="on")) == ["HR", "R&D"]
    path = with_labels(tmp_path, "R&amp;D|HR", "R&D", "HR")
    on = {"near_duplicates": 0, "html_entities": True}
    assert classes(ingest(path, cleaning=on, task="multi_label", label_separator="|", name="m")) == ["HR", "R&D"]


def test_values_of_slices_that_look_the_same_are_one_slice(ingest, tmp_path):
    rows = "".join(f"{text},{label},{unicodedata.normalize('NFD', CAFE)}\n" for text, label in ROWS[:100])
    rows += "".join(f"{text},{label},{CAFE}\n" for text, label in ROWS[100:])
    (tmp_path / "a.csv").write_text(f"text,label,place\n{rows}")
    ingest(tmp_path / "a.csv", slice_columns=["place"])
    assert {place for split in SPLITS for place in read_columns(tmp_path / "dataset", split)["place"]} == {CAFE}


def test_a_label_map_matches_labels_that_look_the_same(ingest, tmp_path):
    other = unicodedata.normalize("NFD", CAFE)
    path = with_labels(tmp_path, CAFE, "\u200btea", "milk")
    _, splits, _ = ingest(path, label_map={f" {other}": "drink\u200b", "tea": "drink"})
    assert {label for _, label in everything(splits)} == {"drink", "milk"}
    fails("label_map: 'café' is there twice", str(path), label_map={other: "a", CAFE: "b"})


@pytest.mark.parametrize(
    ("label_map", "message"),
    [
        ({"Ham": "x"}, r"^label_map: no row has the label 'Ham'\. Did you mean 'ham'\? The labels are: SPAM 1, ham\.$"),
        ({"spam1": "x"}, r"no row has the label 'spam1'\. Did you mean 'SPAM 1'\?"),
        ({"hamm": "x"}, r"no row has the label 'hamm'\. Did you mean 'ham'\?"),
        ({"ham": "x", "yes": "a", "no": "b"}, r"no row has the labels 'yes', 'no'\. The labels are: SPAM 1, ham\.$"),
        ({"false": ""}, r"no row has the label 'false'\. The labels are: SPAM 1, ham\.$"),
    ],
)
@pytest.mark.parametrize("task", ["single_label", "multi_label"])
def test_a_label_map_without_a_match_names_the_labels(here, label_map, message, task):
    path = with_labels(here, "ham", "SPAM 1", " ham")
    fails(message, str(path), label_map=label_map, task=task)


def test_many_labels_are_shown_shortened(here):
    path = with_labels(here, *(f"label {number:03} " + "x" * 90 for number in range(50)))
    shown = ", ".join(rf"label 00{number} x{{30}}\.\.\." for number in range(5))
    fails(rf"no row has the label 'y'\. The labels are: {shown} and 45 more\.$", str(path), label_map={"y": "z"})
