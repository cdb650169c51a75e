"""Corrections: labels of a second source win over those of the same texts."""

import json
import re
from pathlib import Path

import pytest

from berth.errors import BerthError
from components.ingest.settings import IngestSettings
from components.ingest.sources.source import fingerprint
from tests.components.ingest.conftest import ROWS, everything, write


def corrected(tmp_path, rows, kind="csv"):
    return {"corrections": {"files": str(write(tmp_path / f"corrections.{kind}", rows))}}


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
def test_label_of_a_correction_wins_and_is_counted(ingest, tmp_path, kind):
    """Case and white space do not count; a text that had no label gets one; one that is not there is noted."""
    source = write(tmp_path / "a.csv", [*ROWS, ("no label yet", "")])
    given = [("TEXT  number 0", "ham"), ("text number 1", "ham"), ("no label yet", "spam"), ("elsewhere", "spam")]
    manifest, splits, rejected = ingest(source, **corrected(tmp_path, given, kind))
    found = dict(everything(splits))
    assert (found["text number 0"], found["text number 1"], found["no label yet"]) == ("ham", "ham", "spam")
    assert manifest.changed["label by corrections"] == 2
    assert manifest.rejected == {}
    assert any("1 of its 4 texts are not in the source" in note for note in manifest.notes)
    assert rejected == []


def test_corrections_of_several_labels_are_lists(ingest, tmp_path):
    source = tmp_path / "a.jsonl"
    source.write_text("".join(json.dumps({"text": text, "label": [label]}) + "\n" for text, label in ROWS))
    own = tmp_path / "corrections.jsonl"
    own.write_text(json.dumps({"text": "text number 0", "label": ["spam", "ham"]}) + "\n")
    _, splits, _ = ingest(source, task="multi_label", corrections={"files": str(own)})
    found = {text: label for split in splits.values() for text, label in split}
    assert found["text number 0"] == ["ham", "spam"]


def test_doubtful_corrections_are_refused(ingest, tmp_path):
    source = write(tmp_path / "a.csv")
    for rows, message in (
        ([("text number 0", "ham"), ("text number 1", "")], "corrections: .*row 2: missing label"),
        ([("text number 0", "ham"), ("Text number 0", "spam")], "has the labels 'ham' and 'spam'. Keep one"),
    ):
        with pytest.raises(BerthError, match=message):
            ingest(source, **corrected(tmp_path, rows))


def test_changed_corrections_are_another_source(tmp_path):
    source = {"files": str(write(tmp_path / "a.csv"))}
    prints = []

    for label in ("ham", "spam"):
        own = corrected(tmp_path, [("text number 0", label)])
        prints.append(fingerprint(IngestSettings.of(source=source, **own)))
    prints.append(fingerprint(IngestSettings.of(source=source)))
    assert len(set(prints)) == 3


FIXTURES = Path(__file__).parent / "fixtures"
DOCS = (Path(__file__).parents[3] / "docs/data.md").read_text(encoding="utf-8")
QUERIES = re.findall(r"    # (\w+).*\n((?:    .+\n)+)", DOCS.split("<!-- queries -->")[1].split("## ")[0])


@pytest.mark.parametrize(("tool", "sql"), QUERIES, ids=[tool for tool, _ in QUERIES])
def test_documented_query_reads_the_export(ingest, tmp_path, tool, sql):
    """What annotators skipped is left out."""
    rows = [*ROWS, ("Are we still on for lunch?", "spam"), ("Win £100 now Call 0800", "ham")]
    corrections = {"sql": sql, "folder": str(FIXTURES)}
    manifest, splits, _ = ingest(write(tmp_path / "a.csv", rows), corrections=corrections)
    found = dict(everything(splits))
    assert (found["Are we still on for lunch?"], found["Win £100 now Call 0800"]) == ("ham", "spam")
    assert manifest.changed["label by corrections"] == 2
    assert not [note for note in manifest.notes if "are not in the source" in note]


def test_every_tool_has_its_query():
    assert [tool for tool, _ in QUERIES] == ["Label", "Argilla", "Prodigy", "doccano"]
