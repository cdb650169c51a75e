"""The threshold, compared with a brute force over scikit-learn's metrics."""

import time

import numpy as np
import pytest
from sklearn import metrics

from berth.errors import BerthError
from berth.models.decision_rule import decisions
from berth.training.settings import Training
from components.train.threshold import check_decision, choose, choose_by_precision, choose_per_label


def two_classes(positive: np.ndarray) -> np.ndarray:
    return np.stack([1 - positive, positive], axis=1).astype(np.float32)


def score(probabilities, targets, task, metric, threshold) -> float:
    """Return scikit-learn's score of the labels that the model would give."""
    decided = decisions(probabilities, task, threshold)
    if task == "multi_label":
        present = np.flatnonzero(targets.any(axis=0) | decided.any(axis=0))
        if metric == "accuracy":
            return metrics.accuracy_score(targets, decided)
        return np.mean(
            [metrics.f1_score(targets[:, own], decided[:, own], zero_division=0.0) for own in present] or [0]
        )
    predicted = decided[:, 1].astype(int)
    if metric == "macro_f1":
        return metrics.f1_score(targets, predicted, average="macro", labels=[0, 1], zero_division=0.0)
    return {"accuracy": metrics.accuracy_score, "mcc": metrics.matthews_corrcoef}[metric](targets, predicted)


def best_by_brute_force(probabilities, targets, task, metric) -> tuple[float, list[float]]:
    """Return the best score over a threshold at, and between, all probabilities, and the thresholds that have it."""
    values = probabilities if task == "multi_label" else probabilities[:, 1]
    passed = np.unique(np.append(values, [0.0, 0.5, 1.0]).astype(np.float64))
    candidates = np.unique(np.append(passed, (passed[1:] + passed[:-1]) / 2))
    scores = np.array([score(probabilities, targets, task, metric, float(value)) for value in candidates])
    return scores.max(), candidates[scores >= scores.max() - 1e-9].tolist()


def noisy(rng, texts: int, decimals: int) -> tuple[np.ndarray, np.ndarray]:
    """Return probabilities of two classes, many of them equal, and targets that they say something about."""
    positive = rng.beta(*rng.uniform(0.3, 2, 2), texts).round(decimals)
    targets = (rng.random(texts) < 0.1 + 0.8 * positive).astype(np.int32)
    targets[:2] = [0, 1]
    return two_classes(positive), targets


def several(rng, texts: int, labels: int, decimals: int) -> tuple[np.ndarray, np.ndarray]:
    probabilities = rng.beta(0.5, 0.8, (texts, labels)).round(decimals).astype(np.float32)
    return probabilities, (rng.random((texts, labels)) < 0.05 + 0.8 * probabilities).astype(np.int32)


@pytest.mark.parametrize("metric", ["accuracy", "macro_f1", "mcc"])
@pytest.mark.parametrize("seed", range(6))
def test_chosen_threshold_of_two_classes_is_optimal(metric, seed):
    """None scores better or, at the same score, lies nearer to a half."""
    rng = np.random.default_rng(seed)
    probabilities, targets = noisy(rng, int(rng.integers(2, 60)), decimals=[1, 2, 7][seed % 3])
    _is_best(probabilities, targets, "single_label", metric)


@pytest.mark.parametrize("metric", ["accuracy", "macro_f1"])
@pytest.mark.parametrize("seed", range(6))
def test_chosen_common_threshold_of_labels_is_optimal(metric, seed):
    """For several labels, none scores better or, at the same score, lies nearer to a half."""
    rng = np.random.default_rng(seed)
    sizes = int(rng.integers(1, 30)), int(rng.integers(1, 5))
    _is_best(*several(rng, *sizes, decimals=[1, 2, 7][seed % 3]), "multi_label", metric)


def _is_best(probabilities, targets, task, metric) -> None:
    chosen = choose(probabilities, targets, task, metric)
    best, thresholds = best_by_brute_force(probabilities, targets, task, metric)
    assert score(probabilities, targets, task, metric, chosen.value) == pytest.approx(best, abs=1e-9)
    assert chosen.score == pytest.approx(best, abs=1e-9)
    if 0.5 in thresholds:
        assert chosen.value == 0.5
    else:
        # Halfway between two probabilities: no equally good pair of them is nearer to 0.5.
        values = probabilities if task == "multi_label" else probabilities[:, 1]
        passed = np.unique(np.append(values, [0.0, 1.0]).astype(np.float32))
        halves = np.append((passed[1:] + passed[:-1]) / 2, [0.0] if values.min() == 0 else [])
        good = [half for half in halves if any(abs(half - own) < 1e-7 for own in thresholds)]
        assert abs(chosen.value - 0.5) == pytest.approx(min(abs(half - 0.5) for half in good), abs=1e-6)


def test_where_a_half_is_as_good_as_any_it_is_exactly_a_half():
    probabilities = two_classes(np.array([0.1, 0.2, 0.7, 0.9]))
    for metric in ("accuracy", "macro_f1", "mcc"):
        assert choose(probabilities, np.array([0, 0, 1, 1]), "single_label", metric).value == 0.5
    assert choose(two_classes(np.array([0.1, 0.5])), np.array([0, 1]), "single_label", "mcc").value == 0.5


def test_one_sided_plateau_sets_the_threshold_at_its_midpoint():
    """The threshold lies halfway between the probabilities around the plateau."""
    probabilities = two_classes(np.array([0.1, 0.2, 0.6, 0.8]))
    chosen = choose(probabilities, np.array([0, 0, 0, 1]), "single_label", "macro_f1")
    assert (chosen.value, chosen.score) == (pytest.approx(0.7), 1.0)
    chosen = choose(probabilities, np.array([0, 1, 1, 1]), "single_label", "macro_f1")
    assert (chosen.value, chosen.score) == (pytest.approx(0.15), 1.0)


def test_between_neighbouring_floats_the_upper_is_the_threshold():
    low = np.float32(0.7)
    high = np.nextafter(low, np.float32(1))
    positive = np.array([0.1, low, high, 0.9], np.float32)
    chosen = choose(np.stack([1 - positive, positive], 1), np.array([0, 0, 1, 1]), "single_label", "accuracy")
    assert (np.float32(chosen.value), chosen.score) == (high, 1.0)


def test_where_nothing_can_be_chosen_it_is_a_half():
    rng = np.random.default_rng(0)
    probabilities, targets = noisy(rng, 50, 7)
    assert choose(probabilities, targets, "single_label", "none") == choose(
        rng.dirichlet(np.ones(3), 50).astype(np.float32), rng.integers(0, 3, 50), "single_label", "macro_f1"
    )
    assert choose(probabilities, np.zeros(50, np.int32), "single_label", "accuracy").value == 0.5
    nothing = np.zeros((50, 2), np.int32)
    assert choose(probabilities * 0.9, nothing, "multi_label", "macro_f1").value == 0.5


def test_probabilities_of_exactly_0_and_1():
    for targets in ([0, 1], [1, 0]):
        for values in ([0.0, 0.0], [1.0, 1.0], [0.0, 1.0]):
            for metric in ("accuracy", "macro_f1", "mcc"):
                _is_best(two_classes(np.array(values)), np.array(targets), "single_label", metric)


def test_mcc_of_several_labels_is_refused():
    with pytest.raises(BerthError, match=r"threshold_metric: mcc is not defined for multi-label\. Use macro_f1"):
        choose(np.zeros((1, 2), np.float32), np.zeros((1, 2), np.int32), "multi_label", "mcc")


def test_100_000_texts_take_well_under_a_second():
    rng = np.random.default_rng(0)
    probabilities, targets = noisy(rng, 100_000, 7)
    many = several(rng, 100_000, 5, 7)
    for metric in ("accuracy", "macro_f1", "mcc"):
        start = time.process_time()
        choose(probabilities, targets, "single_label", metric)
        assert time.process_time() - start < 1
    for metric in ("accuracy", "macro_f1"):
        start = time.process_time()
        choose(*many, "multi_label", metric)
        assert time.process_time() - start < 2


@pytest.mark.parametrize("metric", ["accuracy", "macro_f1"])
def test_each_label_gets_the_threshold_that_is_best_for_it(metric):
    """A label that every text has keeps 0.5; the others do as well as by brute force, and better than with one."""
    rng = np.random.default_rng(0)
    targets = (rng.random((80, 3)) < [0.3, 0.1, 1.0]).astype(np.int32)
    probabilities = (targets * [0.3, 0.1, 0.2] + rng.random((80, 3)) * [0.5, 0.2, 0.4]).round(2).astype(np.float32)
    found = choose_per_label(probabilities, targets, metric)
    assert found.value[2] == 0.5
    own = {"accuracy": metrics.accuracy_score, "macro_f1": lambda *two: metrics.f1_score(*two, zero_division=0.0)}
    best = []
    for column in range(2):
        tried = [own[metric](targets[:, column], probabilities[:, column] >= at) for at in np.linspace(0, 1, 401)]
        chosen = decisions(probabilities, "multi_label", found.value)[:, column]
        best.append(max(tried))
        assert own[metric](targets[:, column], chosen) == pytest.approx(best[-1])
    assert found.score == pytest.approx(np.mean(best))


@pytest.mark.parametrize("positive", [0, 1])
@pytest.mark.parametrize("precision", [0.6, 0.9, 1.0])
def test_the_threshold_finds_most_with_the_precision_asked_for(positive, precision):
    rng = np.random.default_rng(positive)
    truth = rng.random(300) < 0.3
    likely = np.clip(truth * 0.4 + rng.random(300) * 0.6, 0, 1).round(2)
    probabilities = two_classes(likely if positive else 1 - likely)
    found = choose_by_precision(probabilities, truth, precision, positive)
    called = decisions(probabilities, "single_label", found.value)[:, positive]
    assert metrics.precision_score(truth, called) == pytest.approx(found.score)
    assert found.score >= precision
    tried = [likely >= at - 1e-6 for at in np.unique(likely)]
    most = max((truth & own).sum() for own in tried if metrics.precision_score(truth, own) >= precision)
    assert (truth & called).sum() == most


def test_a_precision_out_of_reach_gives_the_highest_one():
    probabilities = two_classes(np.array([0.9, 0.8, 0.7, 0.1]))
    found = choose_by_precision(probabilities, np.array([False, True, True, False]), 0.99, 1)
    assert found.score == pytest.approx(2 / 3)
    assert decisions(probabilities, "single_label", found.value)[:, 1].tolist() == [True, True, True, False]
    assert choose_by_precision(probabilities, np.zeros(4, bool), 0.99, 1).value == 0.5


@pytest.mark.parametrize(
    ("settings", "metric", "task", "message"),
    [
        ({"precision_at_least": 0.9}, "none", "multi_label", "precision_at_least: is for two .* this is multi-label"),
        ({"precision_at_least": 0.9}, "none", "single_label", "is for two labels, and there are 3"),
        ({"threshold_per_label": True}, "none", "multi_label", "is for multi-label with a threshold_metric"),
        ({"threshold_per_label": True}, "accuracy", "single_label", "is for multi-label with a threshold_metric"),
        ({"abstain_below": 0.9}, "none", "multi_label", "texts without a label anyway"),
    ],
)
def test_decisions_that_a_task_has_no_use_for_are_errors(settings, metric, task, message):
    with pytest.raises(BerthError, match=message):
        check_decision(Training(**settings), metric, task, 3)
    with pytest.raises(BerthError, match="Set only one"):
        check_decision(Training(precision_at_least=0.9), "accuracy", "single_label", 2)
