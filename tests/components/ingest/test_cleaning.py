"""Cleaning: every rule counts what it touches, and says where."""

import itertools

import pytest

from berth.data.cleaning import TextRules, clean
from berth.errors import BerthError
from tests.components.ingest.conftest import MESSAGES, ROWS, everything, write


def test_each_rule_says_how_many_rows_it_changed_and_which(ingest, tmp_path):
    hard = [
        ("cafe\u0301", "ham"),
        ("a\x00b\x08c", "ham"),
        ("fish &amp; chips &lt;3", "spam"),
        ("tab\tand\x85line", " spam\u00a0"),
    ]
    path = tmp_path / "a.csv"
    path.write_text("text,label\n" + "".join(f"{text},{label}\n" for text, label in hard + ROWS), encoding="utf-8")
    manifest, splits, rejected = ingest(path, cleaning={"html_entities": True, "near_duplicates": 0})
    cleaned = {("caf\u00e9", "ham"), ("abc", "ham"), ("fish & chips <3", "spam"), ("tab\tand\x85line", "spam")}
    assert everything(splits) == cleaned | set(ROWS)
    assert manifest.changed == {
        "Unicode form": 1,
        "control characters": 1,
        "HTML entities": 1,
        "spaces around the label": 1,
    }
    assert [(row["row"], row["action"], row["reason"]) for row in rejected] == [
        (1, "changed", "Unicode form"),
        (2, "changed", "control characters"),
        (3, "changed", "HTML entities"),
        (4, "changed", "spaces around the label"),
    ]
    manifest, splits, _ = ingest(
        path, name="off", cleaning={"nfc": False, "control_characters": False, "near_duplicates": 0}
    )
    assert manifest.changed == {"spaces around the label": 1}
    assert ("a\x00b\x08c", "ham") in everything(splits)
    assert ("cafe\u0301", "ham") in everything(splits)


def test_ingest_cleans_texts_as_the_exported_model_does(ingest, tmp_path):
    """The manifest says which rules it was; what entities and control characters make of each other counts too."""
    rules = {"nfc": True, "control_characters": True, "html_entities": True}
    hard = ["a &amp;amp;lt; b", "c &am\x08p; d", "e &hellip\u037e f", "g &#769; e&#769;", "h &#1; \x01", "cafe\u0301 &"]
    path = tmp_path / "a.csv"
    lines = [f'"{text} {number}",ham\n' for number, text in enumerate(hard)]
    lines += [f"{text},{label}\n" for text, label in ROWS]
    path.write_text("text,label\n" + "".join(lines), encoding="utf-8")
    manifest, splits, _ = ingest(path, cleaning={**rules, "near_duplicates": 0})
    expected = {clean(f"{text} {number}", TextRules(**rules)) for number, text in enumerate(hard)}
    assert expected <= {text for text, _ in everything(splits)}
    assert manifest.cleaning == rules


def test_texts_of_control_characters_alone_are_empty(ingest, tmp_path):
    manifest, _, _ = ingest(write(tmp_path / "a.csv", [("\x01\x02", "ham"), *ROWS]))
    assert manifest.rejected == {"empty text": 1}


@pytest.mark.parametrize("text", ["\u00ad", "\u200e \u00ad", "\u0301", "\ufffd", "\ue000", "\u061c"])
def test_a_text_without_a_token_is_rejected_with_its_reason(ingest, tmp_path, text):
    manifest, _, rejected = ingest(write(tmp_path / "a.csv", [(text, "ham"), (f"{text}a{text}", "ham"), *ROWS]))
    assert manifest.rejected == {"text without a token": 1}
    assert [(row["row"], row["text"]) for row in rejected if row["action"] == "rejected"] == [(1, text)]


def near_duplicates(texts: dict[str, str], threshold: float) -> set[str]:
    """Return the texts of later splits that resemble one of an earlier, by comparing all pairs."""
    import re

    def pairs(text: str) -> set[object]:
        words = re.findall(r"[^\W_]+", text.lower())
        return set(itertools.pairwise(words)) if len(words) > 1 else set(words)

    order = {"train": 0, "validation": 1, "test": 2}
    shingled = [(text, order[split], pairs(text)) for text, split in texts.items()]
    found = set()
    for text, rank, own in shingled:
        for _, other_rank, other in shingled:
            if rank > other_rank and own and len(own & other) >= threshold * len(own | other):
                found.add(text)
    return found


@pytest.mark.parametrize("threshold", [0.5, 0.7, 0.9])
def test_near_duplicates_match_a_comparison_of_all_pairs(ingest, tmp_path, threshold):
    """The texts are real messages."""
    lines = [line.split("\t", 1) for line in MESSAGES.read_text(encoding="utf-8").splitlines()]
    spam = [(text, label) for label, text in lines if label == "spam"] + [(b, a) for a, b in lines if a == "ham"][:300]
    path = write(tmp_path / "a.tsv", spam)
    manifest, before, _ = ingest(path, cleaning={"near_duplicates": 0}, name="before")
    assert manifest.near_duplicates is None
    expected = near_duplicates({text: split for split in before for text, _ in before[split]}, threshold)
    assert len(expected) > 5
    manifest, after, rejected = ingest(path, cleaning={"near_duplicates": threshold})
    found = {row["text"] for row in rejected if row["reason"] == "near-duplicate across splits"}
    assert everything(before) - everything(after) == {row for row in everything(before) if row[0] in found}
    # MinHash finds most; what it finds is checked pair by pair, so nothing else is dropped.
    assert len(found & expected) >= 0.95 * len(expected)
    assert len(found - expected) <= 0.02 * len(expected)
    assert before["train"] == after["train"]
    assert manifest.near_duplicates == len(found)


def test_near_duplicates_may_be_counted_and_kept(ingest):
    manifest, splits, _ = ingest(MESSAGES, ["label", "text"], cleaning={"keep_near_duplicates": True})
    assert manifest.near_duplicates == 12
    assert manifest.near_duplicates_kept
    assert sum(manifest.rows.values()) == 5160 == len(everything(splits))


def test_texts_without_spaces_are_compared_by_characters(ingest, tmp_path):
    """This concerns scripts that do not put spaces between words."""
    base = "今日は天気がとても良いので公園を散歩してから図書館で本を読みました"
    rows = [(f"{base}{chr(0x4E00 + number)}", "ab"[number % 2]) for number in range(60)]
    manifest, _, _ = ingest(write(tmp_path / "a.csv", rows), cleaning={"near_duplicates": 0, "nfc": True}, name="all")
    assert sum(manifest.rows.values()) == 60
    with pytest.raises(BerthError, match="split is empty"):
        ingest(tmp_path / "a.csv", cleaning={"near_duplicates": 0.9})
