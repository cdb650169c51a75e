"""The gates of a pre-trained encoder, and the bootstrap over documents behind them."""

import numpy as np
import pytest

from berth.interval import Interval
from berth.pretraining.held_out import Sums
from berth.pretraining.settings import EncoderGates
from components.evaluate_encoder.gates import EncoderFindings, change_of_loss, judge

NOTHING = Interval(0.0, -0.1, 0.1)


def sums(losses) -> Sums:
    """Return what is found in documents of ten masked tokens each with these mean losses."""
    losses = np.asarray(losses, float)
    tens = np.full(len(losses), 10.0)
    return Sums(losses * 10, tens, tens, tens, tens)


def outcomes(found: EncoderFindings, **gates) -> dict[str, str]:
    return {gate.name: gate.outcome for gate in judge(EncoderGates.model_validate(gates), found).gates}


def test_small_gain_in_every_document_is_certain():
    """The spread between documents, much larger, does not count: both are judged on the same ones."""
    before = np.random.default_rng(0).normal(5, 2, 200)
    change = change_of_loss(sums(before), sums(before - 0.05), 0.95)
    assert change.value == pytest.approx(-0.05)
    assert change.high < 0


def test_gain_that_a_few_documents_make_is_not_certain():
    before = np.full(50, 5.0)
    after = before.copy()
    after[0] -= 2
    change = change_of_loss(sums(before), sums(after), 0.95)
    assert change.low < change.value < change.high
    assert change.high == 0.0
    assert outcomes(EncoderFindings(5.0, change, 50), must_improve=True)["must_improve"] == "fail"


@pytest.mark.parametrize(("documents", "outcome"), [(2, "fail"), (19, "fail"), (20, "pass")])
def test_gain_in_few_documents_cannot_be_judged(documents, outcome):
    change = change_of_loss(sums(np.full(documents, 5.0)), sums(np.full(documents, 4.0)), 0.95)
    assert change.high < 0
    (gate, _) = judge(
        EncoderGates.model_validate({"must_improve": True}), EncoderFindings(4.0, change, documents)
    ).gates
    assert gate.outcome == outcome
    assert (f"{documents} held-out documents are too few. Raise held_out" in gate.words) == (outcome == "fail")


def test_loss_is_compared_with_its_bound():
    assert outcomes(EncoderFindings(3.0, NOTHING, 50), max_mlm_loss=3.0)["max_mlm_loss"] == "pass"
    assert outcomes(EncoderFindings(3.1, NOTHING, 50), max_mlm_loss=3.0)["max_mlm_loss"] == "fail"


def test_worst_probe_counts():
    probe = {"frozen with 50 labels": Interval(0.1, 0.05, 0.2), "frozen with 200 labels": Interval(0.0, -0.2, 0.1)}
    (gate, _) = judge(
        EncoderGates.model_validate({"max_probe_drop": 0.1}), EncoderFindings(3.0, NOTHING, 50, probe)
    ).gates
    assert gate.outcome == "fail"
    assert "frozen with 200 labels" in gate.words


def test_probe_that_is_not_there_fails_its_gate():
    found = EncoderFindings(3.0, NOTHING, 50, no_probe="no labelled source is named (probe)")
    assert outcomes(found, max_probe_drop=0.1)["max_probe_drop"] == "fail"
    assert outcomes(EncoderFindings(3.0, NOTHING, 50, new=True), max_probe_drop=0.1)["max_probe_drop"] == "skipped"


def test_encoder_without_gates_is_not_blessed():
    assert not judge(EncoderGates.model_validate({}), EncoderFindings(3.0, NOTHING, 50)).blessed


def test_export_that_answers_otherwise_is_not_blessed():
    found = EncoderFindings(
        3.0, NOTHING, 50, serving_problem="the exported encoder's loss is 4.0000, and in training it was 3.0000"
    )
    verdict = judge(EncoderGates.model_validate({"max_mlm_loss": 5}), found)
    assert not verdict.blessed
    assert "in training it was 3" in str(verdict)
