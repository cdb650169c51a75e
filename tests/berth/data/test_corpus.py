"""The corpus between ingest_corpus and pre-training."""

import pyarrow.parquet as pq
import pytest

from berth.data import corpus
from berth.data.corpus import Corpus

TEXTS = [[f"Document {number}.", "It has a second sentence. \U0001f600"][: 1 + number % 2] for number in range(1001)]


def test_what_is_written_is_read_in_the_same_order(tmp_path, monkeypatch):
    """Row groups and shards are small here, so that there are several."""
    monkeypatch.setattr(corpus, "_GROUP_CHARACTERS", 1_000)
    monkeypatch.setattr(corpus, "_SHARD_GROUPS", 4)
    written = corpus.write(tmp_path, {"train": iter(TEXTS[1:]), "held_out": TEXTS[:1]}, dropped={"duplicate": 3})
    read = Corpus(tmp_path)
    assert read.manifest == written
    assert list(read.documents("train")) == TEXTS[1:]
    assert list(read.documents("held_out")) == TEXTS[:1]
    assert written.documents == {"train": read.count("train"), "held_out": 1} == {"train": 1000, "held_out": 1}
    assert written.sentences["train"] == 1500
    assert written.characters["train"] == sum(len(sentence) for text in TEXTS[1:] for sentence in text)
    assert written.of_one_sentence == 500
    assert written.dropped == {"duplicate": 3}
    shards = sorted((tmp_path / "train").glob("*.parquet"))
    assert len(shards) > 2
    assert [number for shard in shards for number in pq.read_table(shard)["document"].to_pylist()] == list(range(1000))
    assert pq.ParquetFile(shards[0]).metadata.num_row_groups == 4


def test_empty_split_can_be_read(tmp_path):
    corpus.write(tmp_path, {"train": TEXTS})
    assert list(Corpus(tmp_path).documents("held_out")) == []


def test_corpus_that_breaks_off_has_no_manifest(tmp_path):
    def broken():
        yield TEXTS[0]
        raise RuntimeError("the source broke off")

    with pytest.raises(RuntimeError):
        corpus.write(tmp_path, {"train": broken()})
    assert not (tmp_path / "manifest.json").exists()


def test_digest_changes_with_any_sentence(tmp_path):
    digests = {
        corpus.write(tmp_path / str(number), {"train": texts}).digest
        for number, texts in enumerate(([["a", "b"]], [["a"], ["b"]], [["ab"]], [["a", "c"]]))
    }
    assert len(digests) == 4
