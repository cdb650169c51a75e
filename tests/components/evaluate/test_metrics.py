"""Scores and gates, held against values worked out by hand."""

import numpy as np
import pytest

from components.common.errors import BerthError
from components.evaluate.gates import judge
from components.evaluate.metrics import evaluate

BINARY = np.array([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4], [0.3, 0.7]], np.float32)
TRUTH = ["ham", "spam", "spam", "ham"]


def test_two_classes_are_scored_with_the_second_as_the_positive_one():
    scores = evaluate(["ham", "spam"], TRUTH, BINARY)
    assert scores.accuracy == 0.5
    assert scores.macro_f1 == 0.5
    assert scores.roc_auc == pytest.approx(0.75)
    assert scores.log_loss == pytest.approx(-np.log([0.9, 0.8, 0.4, 0.3]).mean(), rel=1e-6)
    assert scores.confusion == [[1, 1], [1, 1]]
    assert [(found.label, found.support) for found in scores.classes] == [("ham", 2), ("spam", 2)]
    (curve,) = scores.curves
    assert curve.label == "spam"
    assert (curve.false_positive_rate[0], curve.true_positive_rate[0]) == (0, 0)
    assert (curve.false_positive_rate[-1], curve.true_positive_rate[-1]) == (1, 1)
    assert all(0 <= threshold <= 1 for threshold in curve.thresholds)


def test_more_classes_are_scored_each_against_the_rest():
    probabilities = np.eye(3, dtype=np.float32)[[0, 1, 2, 0]] * 0.7 + 0.1
    scores = evaluate(["a", "b", "c"], ["a", "b", "c", "c"], probabilities)
    assert scores.accuracy == 0.75
    assert scores.macro_f1 == pytest.approx((2 / 3 + 1 + 2 / 3) / 3)
    assert [curve.label for curve in scores.curves] == ["a", "b", "c"]
    assert scores.confusion[2] == [1, 0, 1]


def test_a_class_that_the_split_has_no_text_of_leaves_no_number_undefined():
    scores = evaluate(["a", "b", "c"], ["a", "b"], np.array([[0.8, 0.1, 0.1], [0.1, 0.8, 0.1]]))
    assert scores.accuracy == scores.macro_f1 == 1
    assert all(np.isfinite(value) for value in scores.numbers().values())
    alone = evaluate(["a", "b"], ["a", "a"], np.array([[0.8, 0.2], [0.9, 0.1]]))
    assert alone.roc_auc is None
    assert "roc_auc" not in alone.numbers()


def test_a_long_curve_is_thinned_out_but_its_area_is_not():
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 2, 5000)
    positive = np.clip(truth * 0.3 + rng.random(5000) * 0.7, 0, 1)
    scores = evaluate(["a", "b"], ["ab"[index] for index in truth], np.column_stack([1 - positive, positive]))
    assert len(scores.curves[0].thresholds) <= 200
    from sklearn.metrics import roc_auc_score

    assert scores.roc_auc == pytest.approx(roc_auc_score(truth, positive))


def test_what_cannot_be_scored_is_said():
    with pytest.raises(BerthError, match="probabilities that are no numbers"):
        evaluate(["a", "b"], ["a"], np.array([[np.nan, 1.0]]))
    with pytest.raises(BerthError, match="labels that the model does not know: c"):
        evaluate(["a", "b"], ["c"], np.array([[0.5, 0.5]]))


SCORES = {"accuracy": 0.99, "macro_f1": 0.94}


def test_every_gate_has_to_hold():
    assert str(judge({"min_accuracy": 0.99}, SCORES)) == "BLESSED"
    verdict = judge({"min_accuracy": 0.98, "min_macro_f1": 0.95}, SCORES)
    assert not verdict.blessed
    assert str(verdict) == "NOT BLESSED: min_macro_f1 0.9400 < 0.95"


def test_no_gates_is_no_blessing_and_an_unknown_gate_is_refused():
    assert str(judge({}, SCORES)) == "NOT BLESSED: no gates are configured"
    with pytest.raises(BerthError, match=r"no gate 'min_acuracy'\. Did you mean 'min_accuracy'\?"):
        judge({"min_acuracy": 0.9}, SCORES)


def test_every_gate_of_the_configuration_is_one_that_is_judged():
    from components.evaluate.gates import MINIMA
    from pipeline.config import Gates

    assert set(Gates.model_fields) == set(MINIMA)
