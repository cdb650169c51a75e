"""Scores, compared with values worked out by hand and against scikit-learn."""

import numpy as np
import pytest

from berth.errors import BerthError
from components.evaluate import scores
from components.evaluate.indicators import ModelOutputs, indicator
from components.evaluate.judgement import charted
from components.evaluate.scores import ClassScores, evaluate

BINARY = np.array([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4], [0.3, 0.7]], np.float32)
TRUTH = ["ham", "spam", "spam", "ham"]


def score(labels, truth, probabilities):
    probabilities = np.asarray(probabilities)
    decided = np.arange(len(labels)) == probabilities.argmax(axis=1)[:, None]
    return evaluate(labels, indicator(labels, truth), ModelOutputs(probabilities, decided))


def test_areas_and_curves_are_of_the_positive_class():
    found = score(["ham", "spam"], TRUTH, BINARY)
    assert found.scores["accuracy"] == found.scores["macro_f1"] == 0.5
    assert found.scores["roc_auc"] == pytest.approx(0.75)
    assert found.scores["mcc"] == 0
    assert found.scores["log_loss"] == pytest.approx(-np.log([0.9, 0.8, 0.4, 0.3]).mean(), rel=1e-6)
    assert found.scores["ece"] == pytest.approx((0.1 + 0.2 + 0.6 + 0.7) / 4, rel=1e-5)
    assert found.confusion == [[1, 1], [1, 1]]
    assert [(one.label, one.support) for one in found.classes] == [("ham", 2), ("spam", 2)]
    (curve,) = found.roc
    assert curve.label == "spam"
    assert (curve.x[0], curve.y[0], curve.x[-1], curve.y[-1]) == (0, 0, 1, 1)
    assert all(0 <= threshold <= 1 for threshold in curve.thresholds)
    assert found.pr[0].x[0] == 0
    other = evaluate(
        ["ham", "spam"], indicator(["ham", "spam"], TRUTH), ModelOutputs(BINARY, BINARY >= 0.5), positive=0
    )
    assert other.roc[0].label == "ham"
    assert found.pr[0].x[-1] == 1


def test_the_names_are_all_there_in_the_order_of_reports():
    assert tuple(score(["ham", "spam"], TRUTH, BINARY).scores) == scores.SCORES


def test_more_classes_are_scored_each_against_the_rest():
    probabilities = np.eye(3, dtype=np.float32)[[0, 1, 2, 0]] * 0.7 + 0.1
    found = score(["a", "b", "c"], ["a", "b", "c", "c"], probabilities)
    assert found.scores["accuracy"] == found.scores["micro_f1"] == 0.75
    assert found.scores["macro_f1"] == pytest.approx((2 / 3 + 1 + 2 / 3) / 3)
    assert [curve.label for curve in found.roc] == ["a", "b", "c"]
    assert found.confusion[2] == [1, 0, 1]


def test_class_without_texts_leaves_no_number_undefined():
    found = score(["a", "b", "c"], ["a", "b"], [[0.8, 0.1, 0.1], [0.1, 0.8, 0.1]])
    assert found.scores["accuracy"] == found.scores["macro_f1"] == 1
    assert all(np.isfinite(value) for value in found.scores.values())
    alone = score(["a", "b"], ["a", "a"], [[0.8, 0.2], [0.9, 0.1]])
    assert "roc_auc" not in alone.scores
    assert alone.roc == []


def test_a_long_curve_is_thinned_out_but_its_area_is_not():
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 2, 5000)
    positive = np.clip(truth * 0.3 + rng.random(5000) * 0.7, 0, 1)
    found = score(["a", "b"], ["ab"[index] for index in truth], np.column_stack([1 - positive, positive]))
    assert len(found.roc[0].thresholds) <= 200
    from sklearn.metrics import roc_auc_score

    assert found.scores["roc_auc"] == pytest.approx(roc_auc_score(truth, positive))


def test_several_labels_a_text_are_right_only_when_all_are():
    truth = indicator(["a", "b"], [["a"], ["a", "b"], []])
    decided = indicator(["a", "b"], [["a"], ["a"], []])
    found = evaluate(["a", "b"], truth, ModelOutputs(np.where(decided, 0.9, 0.2), decided), "multi_label")
    assert found.scores["accuracy"] == pytest.approx(2 / 3)
    assert found.scores["micro_f1"] == pytest.approx(2 * 2 / (2 + 3))
    assert found.scores["log_loss"] == pytest.approx(-np.log([0.9, 0.8, 0.9, 0.2, 0.8, 0.8]).mean())
    assert "mcc" not in found.scores
    assert found.confusion == []


def test_decision_outside_the_vocabulary_is_wrong():
    """It counts as no other label."""
    truth = indicator(["a", "b"], ["a", "b"])
    decided = np.array([[True, False], [False, False]])
    found = evaluate(["a", "b"], truth, ModelOutputs(np.array([[0.9, 0.1], [0.2, 0.1]]), decided))
    assert found.scores["accuracy"] == 0.5
    assert [one.recall for one in found.classes] == [1, 0]
    assert [one.precision for one in found.classes] == [1, 0]


def test_what_cannot_be_scored_is_said():
    with pytest.raises(BerthError, match="probabilities that are not numbers"):
        score(["a", "b"], ["a"], [[np.nan, 1.0]])
    with pytest.raises(BerthError, match="labels that the model does not know: c"):
        indicator(["a", "b"], ["c"])


def test_of_many_labels_the_worst_have_metrics():
    classes = [ClassScores(f"label {number}", 0.5, 0.5, number / 100, 1 + number) for number in range(80)]
    found = charted([*classes, ClassScores("rare", 0.0, 0.0, 0.0, 1), ClassScores("absent", 0.0, 0.0, 0.0, 0)])
    assert [own.label for own in found] == ["label 0", "rare", *(f"label {number}" for number in range(1, 49))]
    assert len(charted(classes[:40])) == 40
