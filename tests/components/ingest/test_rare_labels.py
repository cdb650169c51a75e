"""Labels with few texts."""

import json
from collections import Counter

import pytest

from berth.data.dataset import SPLITS
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
