"""The bootstrap: its scores are the same scores, and its intervals hold the truth as often as they say."""

import numpy as np
import pytest

from components.evaluate import bootstrap, scores
from components.evaluate.indicators import ModelOutputs


def simulated(rng, texts: int, labels: int, single: bool = True, noise: float = 1.0) -> tuple[np.ndarray, ModelOutputs]:
    """Return truth, and the answers of a model that is right more often than not; some are tied, some are none."""
    if single:
        truth = np.eye(labels, dtype=bool)[rng.integers(0, labels, texts)]
        scores = np.exp(rng.normal(size=(texts, labels)) * noise + truth * 2)
        probabilities = (scores / scores.sum(axis=1, keepdims=True)).round(2)
        decided = np.arange(labels) == probabilities.argmax(axis=1)[:, None]
        decided[:2] = False
        return truth, ModelOutputs(probabilities, decided)
    truth = rng.random((texts, labels)) < 0.3
    probabilities = np.clip(rng.normal(size=(texts, labels)) * 0.2 + truth * 0.5 + 0.2, 0, 1).round(2)
    return truth, ModelOutputs(probabilities, probabilities >= 0.5)


@pytest.mark.parametrize(("labels", "single"), [(2, True), (4, True), (3, False)])
def test_drawn_scores_equal_scikit_learns(labels, single):
    """On the texts that were drawn, where the weights are whole numbers; kinds stand for their texts."""
    rng = np.random.default_rng(labels)
    truth, answers = simulated(rng, 150, labels, single)
    task = "single_label" if single else "multi_label"
    kinds = bootstrap.kinds_of(truth, {"a": answers.decided})
    same = (truth[:, None] == kinds.truth) & (answers.decided[:, None] == kinds.decided["a"])
    kind = same.all(axis=2).argmax(axis=1)
    for _ in range(3):
        rows = rng.integers(0, 150, 150)
        counts = np.bincount(rows, minlength=150)[None].astype(float)
        found = bootstrap.probability_scorer(truth, answers, single)(counts)
        found |= bootstrap.area_scorer(truth, answers, single)(counts)
        weights = np.bincount(kind[rows], minlength=len(kinds.weights))[None].astype(float)
        found |= bootstrap.decision_scorer(kinds.truth, kinds.decided["a"], 150, single)(weights)
        expected = scores.evaluate(
            [*"abcd"[:labels]], truth[rows], ModelOutputs(answers.probabilities[rows], answers.decided[rows]), task
        )
        assert found.keys() == expected.scores.keys()
        for name, value in expected.scores.items():
            assert found[name][0] == pytest.approx(value, abs=1e-9), name


def test_models_share_draws_and_the_seed_decides():
    truth, answers = simulated(np.random.default_rng(0), 200, 2)
    first, again = (
        bootstrap.resample(truth, {"a": answers, "b": answers}, single=True, resamples=1000, seed=3) for _ in "12"
    )
    other = bootstrap.resample(truth, {"a": answers}, single=True, resamples=1000, seed=4)
    for name in ("log_loss", "ece", "roc_auc"):
        assert (first["a"][name] == first["b"][name]).all()
    for name, values in first["a"].items():
        assert (values == again["a"][name]).all()
        assert values.mean() == pytest.approx(first["b"][name].mean(), abs=0.01)
    assert (first["a"]["accuracy"] != other["a"]["accuracy"]).any()


def macro_f1(chances: np.ndarray) -> list[float]:
    """Return two models' macro F1 on infinitely many texts; `chances` of (true class, first right, second right)."""
    found = []
    for axis in (2, 1):
        right = chances.sum(axis=axis)
        found.append((2 * right[:, 1] / (right.sum(axis=1) + right[:, 1] + right[::-1, 0])).mean())
    return found


@pytest.mark.parametrize(
    ("texts", "rare", "accuracy", "worse"),
    [(100, 0.13, 0.98, 0.01), (100, 0.5, 0.9, 0.0), (495, 0.13, 0.995, 0.0), (495, 0.13, 0.95, 0.01)],
)
def test_interval_of_macro_f1_covers_the_truth(texts, rare, accuracy, worse):
    """A model that is truly worse by that much is shown to be better than it in hardly more than 2.5 percent."""
    rng, wrong, rounds = np.random.default_rng(7), 1 - accuracy, 400
    cells = np.array([[wrong / 2, wrong / 2], [wrong / 2 + worse, accuracy - worse - wrong / 2]])
    chances = np.array([1 - rare, rare])[:, None, None] * cells
    first, second = macro_f1(chances)
    held = gained = above = 0
    for _ in range(rounds):
        drawn = np.repeat(np.arange(8), rng.multinomial(texts, chances.ravel()))
        truth = np.eye(2, dtype=bool)[drawn // 4]
        decided = {name: truth ^ (drawn // shift % 2 == 0)[:, None] for name, shift in (("first", 2), ("second", 1))}
        kinds = bootstrap.kinds_of(truth, decided)
        weights = bootstrap.draw(rng, 1000, kinds.weights, texts)
        own, other = (
            bootstrap.decision_scorer(kinds.truth, kinds.decided[name], texts, True)(weights)["macro_f1"]
            for name in decided
        )
        found, change = (bootstrap.interval(float(np.median(one)), one, 0.95) for one in (own, own - other))
        held += found.low <= first <= found.high
        gained += change.low <= first - second <= change.high
        above += change.low > first - second
    assert held / rounds >= 0.92
    assert gained / rounds >= 0.93
    assert above / rounds <= 0.045


def test_models_without_a_mistake_are_not_equal_for_certain():
    truth = np.eye(2, dtype=bool)[np.arange(100) % 2]
    answers = ModelOutputs(truth.astype(float), truth)
    drawn = bootstrap.resample(truth, {"a": answers, "b": answers}, single=True, resamples=1000)
    change = bootstrap.interval(0.0, drawn["a"]["macro_f1"] - drawn["b"]["macro_f1"], 0.95)
    assert change.low < -0.01 < 0.01 < change.high
    assert bootstrap.interval(1.0, drawn["a"]["macro_f1"], 0.95).low < 0.99


def test_a_higher_confidence_is_a_wider_interval():
    values = np.random.default_rng(0).normal(size=10_000)
    for few in (values, values[:500]):
        found = bootstrap.interval(0.0, few, 0.95)
        assert (found.low, found.high) == pytest.approx((-1.96, 1.96), abs=0.15)
        assert bootstrap.interval(0.0, few, 0.5).high == pytest.approx(0.674, abs=0.08)


def test_areas_of_a_large_split_take_few_draws():
    rng = np.random.default_rng(0)
    truth, answers = simulated(rng, 20_000, 10)
    drawn = bootstrap.resample(truth, {"a": answers}, single=True, resamples=1_000)["a"]
    assert len(drawn["macro_f1"]) == 1_000
    assert len(drawn["roc_auc"]) == 250
