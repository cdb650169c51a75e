"""The evaluate_encoder step on the tiny BERT, before and after a short pre-training."""

import shutil
from dataclasses import replace

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from berth.data import corpus as corpora
from berth.errors import BerthError
from berth.pretraining.settings import EncoderGates, Probe
from components.evaluate_encoder.report import describe, render
from components.evaluate_encoder.step import evaluate_encoder
from tests.support.datasets import MESSAGES
from tests.support.pretraining import documents

PROBE = {"source": {"files": "the dataset has its texts"}, "sizes": [20], "seeds": 2, "test": 40}


def evaluate(pretrained, corpus, tiny=None, probe=None, labelled="", **gates):
    return evaluate_encoder(
        corpus,
        pretrained.encoder,
        pretrained.before,
        labelled,
        encoder=tiny.encoder if tiny else "",
        preprocessor=tiny.preprocessor if tiny else "",
        bounds=EncoderGates.model_validate(gates),
        asked=Probe.model_validate(probe) if probe else None,
    )


@pytest.fixture(scope="module")
def labelled(tmp_path_factory):
    """The folder of a dataset of 200 messages."""
    folder = tmp_path_factory.mktemp("labelled")
    rows = [line.split("\t", 1) for line in MESSAGES.read_text(encoding="utf-8").splitlines()[:200]]
    for split, own in {"train": rows[:150], "validation": rows[150:170], "test": rows[170:]}.items():
        (folder / split).mkdir()
        table = pa.table({"text": [text for _, text in own], "label": [label for label, _ in own]})
        pq.write_table(table, folder / split / "part-00000.parquet")
    return folder


@pytest.fixture(scope="module")
def judgement(pretrained, corpus, tiny, labelled):
    """Fine-tuning the tiny BERT four times takes seconds, most of them to compile it twice."""
    return evaluate(pretrained, corpus, tiny, PROBE, labelled, must_improve=True, max_mlm_loss=6.0, max_probe_drop=0.5)


def test_encoder_that_learned_is_blessed(judgement, pretrained):
    assert judgement.verdict.blessed, str(judgement.verdict)
    assert judgement.before == pytest.approx(pretrained.outcome.before)
    assert judgement.after == pytest.approx(pretrained.outcome.after, rel=1e-4)


def test_probe_judges_both_encoders_in_both_ways(judgement):
    assert [own.name for own in judgement.probed] == ["frozen with 20 labels", "fine-tuned with 20 labels"]
    assert all(0.3 < own.after.value <= 1 and own.before and own.change for own in judgement.probed)


def test_report_shows_curve_examples_and_corpus(judgement):
    html = render(judgement, 0.95)
    first, second = judgement.examples[0]
    assert (first.text, first.truth) == (second.text, second.truth)
    assert "[MASK]" in first.text
    assert html.count("<polyline") == 2
    for part in ("fine-tuned with 20 labels", "must_improve", judgement.corpus.digest[:16], first.truth):
        assert part in html
    assert "must\\_improve" in describe(judgement, 0.95)


def test_report_of_a_resumed_run_counts_all_evaluations(judgement):
    """Its curve has those since it went on."""
    facts = judgement.facts | {"settings": judgement.facts["settings"] | {"nsp": False}}
    html = render(replace(judgement, curve=judgement.curve[1:], facts=facts), 0.95)
    assert len(judgement.curve) == 2
    assert 'text-anchor="end">2</text>' in html
    assert "train, masked tokens<" in html
    assert "pairs together" not in html


def test_changed_encoder_is_not_judged(pretrained, corpus, tmp_path):
    shutil.copytree(pretrained.encoder, tmp_path / "encoder")
    (tmp_path / "encoder" / "preprocessor" / "assets" / "vocab.txt").write_text("[PAD]\n", encoding="utf-8")
    pretrained = type(pretrained)(encoder=tmp_path / "encoder", before=pretrained.before)
    with pytest.raises(BerthError, match=r"vocab\.txt is not as it was exported"):
        evaluate(pretrained, corpus)


def test_corpus_of_another_run_is_refused(pretrained, tmp_path):
    corpora.write(tmp_path / "other", {"train": documents()[:2], "held_out": documents()[:20]})
    with pytest.raises(BerthError, match="was judged on other documents"):
        evaluate(pretrained, tmp_path / "other")


def test_probe_with_too_few_texts_is_one_line(pretrained, corpus, labelled):
    with pytest.raises(BerthError, match="probe: 200 different texts with 2 labels; it needs two labels and 510 texts"):
        evaluate(pretrained, corpus, labelled=labelled, probe=PROBE | {"sizes": [500]})
