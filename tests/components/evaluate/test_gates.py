"""Every gate: what it is judged on, and what it says."""

import pytest

from berth.errors import BerthError
from berth.interval import Interval
from berth.settings import Gates
from components.evaluate.gates import Findings, SliceResult, judge, parse
from components.evaluate.scores import ClassScores

SCORES = {"accuracy": 0.99, "macro_f1": 0.94, "log_loss": 0.05, "ece": 0.02, "roc_auc": 0.97}
LOSS = Interval(-0.01, -0.03, 0.005)
FOUND = Findings(
    SCORES,
    classes=[
        ClassScores("ham", 0.98, 0.99, 0.985, 320),
        ClassScores("spam", 0.95, 0.85, 0.897, 80),
        ClassScores("eggs", 0.0, 0.0, 0.0, 0),
    ],
    change={"macro_f1": LOSS, "accuracy": Interval(0.01, 0.002, 0.02)},
    baseline={"macro_f1": 0.94, "accuracy": 0.95},
    slices=[
        SliceResult("country de", 50, Interval(0.8, 0.7, 0.9), 0.9, Interval(-0.1, -0.2, -0.05)),
        SliceResult("label spam", 80, Interval(0.85, 0.75, 0.92), 0.85, Interval(0, -0.02, 0.02)),
    ],
    p95_ms=12.3,
    size_mb=90.5,
    coverage=0.85,
    texts=400,
)

GATES = [
    ({"min_accuracy": 0.99}, "pass", "0.9900 >= 0.99"),
    ({"min_macro_f1": 0.95}, "fail", "0.9400 < 0.95"),
    ({"min_recall": {"spam": 0.9, "ham": 0.9}}, "fail", "0.8500 < 0.9 for label spam (80 texts), 0.9900 >= 0.9 for"),
    ({"min_precision": {"spam": 0.9}}, "pass", "0.9500 >= 0.9 for label spam (80 texts)"),
    ({"min_f1": {"spma": 0.9}}, "fail", "cannot be judged: there is no label 'spma'. Did you mean 'spam'?"),
    ({"min_f1": {"eggs": 0.1}}, "fail", "cannot be judged: the test split has no text of the label eggs"),
    ({"min_coverage": 0.8}, "pass", "0.8500 >= 0.8"),
    ({"min_coverage": 0.9}, "fail", "0.8500 < 0.9"),
    ({"max_log_loss": 0.05}, "pass", "0.0500 <= 0.05"),
    ({"max_ece": 0.01}, "fail", "0.0200 > 0.01"),
    ({"min_mcc": 0.5}, "fail", "cannot be judged: the test split or the task does not define mcc"),
    (
        {"max_drop": 0.03},
        "pass",
        "macro_f1 -0.0100 (95%: -0.0300 to +0.0050), so no drop of more than 0.03",
    ),
    (
        {"max_drop": 0.005},
        "fail",
        "macro_f1 -0.0100 (95%: -0.0300 to +0.0050), so perhaps a drop of more than 0.005; "
        "400 texts show drops of 2 points or more, 0.5 take about 6,400 texts",
    ),
    ({"max_drop": 0.0, "metric": "accuracy"}, "pass", "accuracy +0.0100"),
    ({"max_drop": 0.5, "metric": "mcc"}, "fail", "cannot be judged: mcc is not defined here"),
    (
        {"min_slice_accuracy": 0.7},
        "pass",
        "at least 0.7000 >= 0.7 in the worst slice, country de: 0.8000 of 50 texts (95%: 0.7000 to 0.9000)",
    ),
    ({"min_slice_accuracy": 0.71}, "fail", "at least 0.7000 < 0.71 in the worst slice, country de"),
    ({"min_slice_accuracy": 0.95}, "fail", "; 50 texts show 0.93 at most, 0.95 takes 72"),
    ({"min_slice_accuracy": 1.0}, "fail", "; 50 texts show 0.93 at most, no number shows 1"),
    ({"max_drop": 0.0}, "fail", "2 points or more, and no number of texts shows that of an equally good model"),
    (
        {"max_slice_drop": 0.04},
        "fail",
        "(95% over 2 slices: -0.2000 to -0.0500) in country de, a certain drop",
    ),
    ({"max_slice_drop": 0.06}, "pass", "in country de, no certain drop of more than 0.06"),
    ({"must_beat_baseline": True}, "fail", "macro_f1 0.9400 <= 0.9400 of TF-IDF + logistic regression"),
    ({"must_beat_baseline": True, "metric": "accuracy"}, "pass", "accuracy 0.9900 > 0.9500 of TF-IDF"),
    ({"max_p95_ms": 12.0}, "fail", "12.3 ms > 12"),
    ({"max_size_mb": 100}, "pass", "90.5 MB <= 100"),
]


@pytest.mark.parametrize(("bounds", "outcome", "words"), GATES)
def test_a_gate_says_what_it_found(bounds, outcome, words):
    gate, check = judge(parse(bounds), FOUND).gates
    assert (gate.name, gate.outcome) == (next(iter(bounds)), outcome)
    assert words in gate.words
    assert (check.name, check.outcome) == ("serving_check", "pass")


def test_every_gate_of_the_configuration_is_one_that_is_judged():
    asked = {name for bounds, *_ in GATES for name in bounds}
    same_kind = {"min_micro_f1", "min_weighted_f1", "min_roc_auc", "min_pr_auc"}
    assert asked | same_kind | {"confidence"} == set(Gates.model_fields)


def test_every_gate_has_to_hold():
    assert str(judge(parse({"min_accuracy": 0.99}), FOUND)) == "BLESSED"
    verdict = judge(parse({"min_accuracy": 0.98, "min_macro_f1": 0.95, "max_ece": 0.01}), FOUND)
    assert not verdict.blessed
    assert str(verdict) == "NOT BLESSED: min_macro_f1 0.9400 < 0.95; max_ece 0.0200 > 0.01"


@pytest.mark.parametrize(
    "gates", [{}, {"min_recall": {}}, {"metric": "accuracy", "confidence": 0.9}, {"must_beat_baseline": False}]
)
def test_no_gates_is_no_blessing(gates):
    verdict = judge(parse(gates), FOUND)
    assert str(verdict) == "NOT BLESSED: no gates are configured"
    assert not verdict.blessed


def test_failed_serving_check_prevents_blessing():
    """Whatever the model scores."""
    findings = Findings(SCORES, serving_problem="fails on the empty text (boom)")
    assert str(judge(parse({"min_accuracy": 0.1}), findings)) == (
        "NOT BLESSED: serving_check fails on the empty text (boom)"
    )


@pytest.mark.parametrize(("broken", "outcome"), [(False, "skipped"), (True, "fail")])
@pytest.mark.parametrize("gate", ["max_drop", "max_slice_drop"])
def test_relative_gates_without_and_with_broken_champion(gate, broken, outcome):
    """They are skipped without a champion, and fail with one that cannot be asked."""
    findings = Findings(SCORES, no_champion="there is no champion yet", champion_broken=broken, slices=FOUND.slices)
    verdict = judge(parse({gate: 0.1, "min_accuracy": 0.5}), findings)
    assert next(one.outcome for one in verdict.gates if one.name == gate) == outcome
    assert verdict.blessed is not broken


def test_slice_gates_fail_where_no_slice_is_large_enough():
    findings = Findings(SCORES, change={"macro_f1": LOSS})
    verdict = judge(parse({"min_slice_accuracy": 0.9, "max_slice_drop": 0.1}), findings)
    assert [gate.outcome for gate in verdict.gates] == ["fail", "fail", "pass"]


def test_unknown_gate_and_impossible_bound_are_refused():
    with pytest.raises(BerthError, match=r"no gate 'min_acuracy'\. Did you mean 'min_accuracy'\?"):
        parse({"min_acuracy": 0.9})
    with pytest.raises(BerthError, match=r"gates\.min_accuracy: Input should be less than or equal to 1, not 90"):
        parse({"min_accuracy": 90.0})
    with pytest.raises(BerthError, match=r"gates\.min_recall\.spam: Input should be less than or equal to 1, not 90"):
        parse({"min_recall": {"spam": 90.0}})
