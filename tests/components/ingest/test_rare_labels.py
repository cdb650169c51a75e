"""Labels with few texts."""

import json
from collections import Counter

import pytest

from berth.data.dataset import SPLITS
from berth.errors import BerthError
from tests.components.ingest.conftest import write

COMMON = [(f"text number {number}", "ham" if number % 2 else "spam") for number in range(200)]


def rare(number: int, label: str) -> list[tuple[str, str]]:
    return [(f"{label} text {place}", label) for place in range(number)]


def splits_of(splits, label: str) -> Counter[str]:
    return Counter(split for split in SPLITS for _, own in splits[split] if own == label)


@pytest.mark.parametrize("seed", range(5))
def test_a_label_with_few_texts_is_in_every_split_it_can_be(ingest, tmp_path, seed):
    rows = COMMON + [row for number in range(1, 8) for row in rare(number, f"rare{number}")]
    _, splits, _ = ingest(write(tmp_path / "a.csv", rows), split={"seed": seed})
    for number in range(1, 8):
        found = splits_of(splits, f"rare{number}")
        assert found["train"], number
        assert len(found) == 3 or number < 3, number
        assert found.total() == number


def test_rare_labels_move_no_text_of_another_label(ingest, tmp_path):
    _, before, _ = ingest(write(tmp_path / "a.csv", COMMON), name="before")
    _, after, _ = ingest(write(tmp_path / "b.csv", COMMON + rare(3, "rare")), name="after")
    for split in SPLITS:
        assert set(before[split]) == {row for row in after[split] if row[1] != "rare"}


@pytest.mark.parametrize("then", ["keep", "drop", "other"])
def test_labels_below_min_texts_are_kept_dropped_or_merged(ingest, tmp_path, then):
    source = write(tmp_path / "a.csv", COMMON + rare(4, "four") + rare(5, "five"))
    manifest, _, rejected = ingest(source, rare_labels={"min_texts": 5, "then": then})
    reason = "label with fewer texts than rare_labels.min_texts"
    assert (
        manifest.labels
        == {
            "keep": ["five", "four", "ham", "spam"],
            "drop": ["five", "ham", "spam"],
            "other": ["five", "ham", "other", "spam"],
        }[then]
    )
    assert manifest.rejected == ({reason: 4} if then == "drop" else {})
    assert len([row for row in rejected if row["reason"] == reason]) == (4 if then == "drop" else 0)


@pytest.mark.parametrize("then", ["drop", "other"])
def test_a_multi_label_text_loses_only_its_rare_label(ingest, tmp_path, then):
    rows = [(text, [label]) for text, label in COMMON] + [("both", ["ham", "rare"]), ("alone", ["rare"])]
    path = tmp_path / "a.jsonl"
    path.write_text("".join(json.dumps({"text": text, "label": labels}) + "\n" for text, labels in rows))
    manifest, splits, _ = ingest(path, task="multi_label", rare_labels={"min_texts": 3, "then": then})
    found = {text: labels for split in SPLITS for text, labels in splits[split]}
    assert found["both"] == (["ham"] if then == "drop" else ["ham", "other"])
    assert found["alone"] == ([] if then == "drop" else ["other"])
    assert "rare" not in manifest.labels


@pytest.mark.parametrize("seed", range(3))
def test_rare_labels_of_multi_label_texts_are_in_train(ingest, tmp_path, seed):
    rows = [(f"text number {number}", [f"label{number % 150}", f"label{(number * 7) % 150}"]) for number in range(450)]
    path = tmp_path / "a.jsonl"
    path.write_text("".join(json.dumps({"text": text, "label": labels}) + "\n" for text, labels in rows))
    manifest, _, _ = ingest(path, task="multi_label", split={"seed": seed})
    counts = manifest.label_counts
    assert set(counts["train"]) == set(manifest.labels)
    missing = [label for label in manifest.labels if not counts["test"].get(label)]
    assert len(missing) <= 0.05 * len(manifest.labels)


def test_a_label_that_a_given_train_split_lacks_is_left_out(ingest, tmp_path):
    files = {
        "train": write(tmp_path / "a.csv", COMMON),
        "test": write(tmp_path / "b.csv", rare(2, "new") + rare(9, "ham")),
    }
    manifest, splits, _ = ingest({split: str(path) for split, path in files.items()})
    assert manifest.labels == ["ham", "spam"]
    assert manifest.rejected == {"label that no train text has": 2}
    assert splits_of(splits, "ham")["test"] == 9


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(("labels", "each"), [(5, 2), (2, 3), (3, 3), (4, 3), (2, 2)])
def test_few_texts_fill_every_split(ingest, tmp_path, labels, each, seed):
    rows = [row for number in range(labels) for row in rare(each, f"label{number}")]
    manifest, _, _ = ingest(write(tmp_path / "a.csv", rows), split={"seed": seed})
    assert all(manifest.rows[split] for split in SPLITS)
    assert set(manifest.label_counts["train"]) == set(manifest.labels)


def test_rare_labels_are_in_train_when_a_column_gives_the_test(ingest, tmp_path):
    lines = [f"{text},{label},{'test' if number < 40 else 'train'}" for number, (text, label) in enumerate(COMMON)]
    lines += [f"rare{label} text {number},rare{label},train" for label in range(12) for number in range(2)]
    (tmp_path / "a.csv").write_text("text,label,part\n" + "\n".join(lines))
    split = {"by": "column", "column": "part", "train": 0.5, "validation": 0.4, "test": 0.1}
    manifest, splits, _ = ingest(tmp_path / "a.csv", split=split)
    assert manifest.rows["test"] == 40
    assert {f"rare{label}" for label in range(12)} <= {label for _, label in splits["train"]}
    assert manifest.rejected == {}


@pytest.mark.parametrize("then", ["drop", "other"])
def test_min_texts_that_leaves_one_label_is_refused(ingest, tmp_path, then):
    source = write(tmp_path / "a.csv", COMMON)
    with pytest.raises(BerthError, match="rare_labels: of 2 labels, 0 have 500 texts or more") as refusal:
        ingest(source, rare_labels={"min_texts": 500, "then": then})
    assert str(refusal.value).endswith("Lower rare_labels.min_texts.")


def test_rare_labels_that_join_a_label_of_the_data_are_noted(ingest, tmp_path):
    source = write(tmp_path / "a.csv", COMMON + rare(4, "four") + rare(20, "other"))
    manifest, _, _ = ingest(source, rare_labels={"min_texts": 5, "then": "other"})
    assert sum(manifest.label_counts[split].get("other", 0) for split in SPLITS) == 24
    (note,) = manifest.notes
    assert note.startswith("rare_labels: texts of 1 rare labels have joined the label 'other', which the data has too")


def test_a_sample_of_texts_with_several_labels_has_its_size(ingest, tmp_path):
    """Hardly two texts have the same labels, and each label keeps a text."""
    rows = [(f"text number {number}", [f"a{number % 7}", f"b{number % 40}"]) for number in range(280)]
    path = tmp_path / "a.jsonl"
    path.write_text("".join(json.dumps({"text": text, "label": labels}) + "\n" for text, labels in rows))
    manifest, _, _ = ingest(path, task="multi_label", max_rows=60)
    assert sum(manifest.rows.values()) == 60
    assert len(manifest.labels) == 47


def test_a_sample_keeps_train_texts_of_every_label(ingest, tmp_path):
    """Where a column gives the splits, a label whose one text is in test could not be learnt."""
    parts = ("train", "validation", "test")
    lines = [f"text number {n},label{n % 60},{parts[n // 60 % 3]}" for n in range(1_800)]
    (tmp_path / "a.csv").write_text("text,label,part\n" + "\n".join(lines))
    manifest, _, _ = ingest(tmp_path / "a.csv", split={"by": "column", "column": "part"}, max_rows=200)
    assert sum(manifest.rows.values()) == 200
    assert len(manifest.labels) == 60
    assert manifest.rejected == {}


def test_max_rows_that_leaves_no_split_a_text_is_named(ingest, tmp_path):
    rows = [(f"text number {number}", f"label{number % 50}") for number in range(500)]
    with pytest.raises(
        BerthError, match=r"max_rows: 40 texts are too few for \d+ labels: the .* split is empty. Raise"
    ):
        ingest(write(tmp_path / "a.csv", rows), max_rows=40)


def test_rare_labels_that_empty_the_train_split_are_noted(ingest, tmp_path):
    rows = [(f"text number {number}", f"label{number % 50}") for number in range(150)]
    (note,) = ingest(write(tmp_path / "a.csv", rows))[0].notes
    assert note.startswith("rare labels: ")
    assert note.endswith("; it has 50 of 150 texts. Merge the rarest with rare_labels.")


def test_near_duplicates_that_leave_a_split_empty_are_named(ingest, tmp_path):
    rows = [(f"the order number {n} was sent by post to the address in the list", "ab"[n % 2]) for n in range(24)]
    with pytest.raises(BerthError, match=r"split is empty: .* without \d+ that resemble one of another split"):
        ingest(write(tmp_path / "a.csv", rows), cleaning={"near_duplicates": 0.7})
