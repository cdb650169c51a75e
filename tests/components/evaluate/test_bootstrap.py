"""The intervals: that they are of the same scores, and that they hold the truth as often as they say."""

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
def test_resample_scores_equal_scikit_learns(labels, single):
    """On the texts that were drawn."""
    rng = np.random.default_rng(labels)
    truth, answers = simulated(rng, 150, labels, single)
    task = "single_label" if single else "multi_label"
    score = bootstrap._scorer(truth, answers, single)
    for drawn in bootstrap._draw(rng, 3, 150):
        rows = np.repeat(np.arange(150), drawn.astype(int))
        expected = scores.evaluate(
            [*"abcd"[:labels]], truth[rows], ModelOutputs(answers.probabilities[rows], answers.decided[rows]), task
        )
        found = score(drawn[None])
        assert found.keys() == expected.scores.keys()
        for name, value in expected.scores.items():
            assert found[name][0] == pytest.approx(value, abs=1e-9), name


def test_models_share_resamples_and_the_seed_decides():
    truth, answers = simulated(np.random.default_rng(0), 200, 2)
    first, again = (
        bootstrap.resample(truth, {"a": answers, "b": answers}, single=True, resamples=1000, seed=3) for _ in "12"
    )
    other = bootstrap.resample(truth, {"a": answers}, single=True, resamples=1000, seed=4)
    for name, values in first.scores["a"].items():
        assert (values == first.scores["b"][name]).all()
        assert (values == again.scores["a"][name]).all()
    assert (first.scores["a"]["accuracy"] != other.scores["a"]["accuracy"]).any()


def test_slices_are_resampled_too():
    truth, answers = simulated(np.random.default_rng(0), 300, 2)
    members = np.arange(300)[:, None] < np.array([100, 0])
    found = bootstrap.resample(truth, {"a": answers}, single=True, slices=members, resamples=2000).slices["a"]
    right = (answers.decided == truth).all(axis=1)
    assert found[:, 0].mean() == pytest.approx(right[:100].mean(), abs=0.01)
    assert np.isnan(found[:, 1]).all()


CHANCES = {"first": 0.9, "second": 0.86}


def draw_pair(rng, texts):
    """Return balanced truth and two models' decisions: a text that is hard for one tends to be hard for the other."""
    truth = np.eye(2, dtype=bool)[rng.integers(0, 2, texts)]
    hardness = rng.random(texts) * 0.5 + rng.random((2, texts)) * 0.5
    cuts = {name: np.sqrt((1 - chance) / 2) for name, chance in CHANCES.items()}
    # The sum of two uniform halves exceeds 1 - c with probability 2 c squared, for c below a half.
    wrong = {name: own > 1 - cut for (name, cut), own in zip(cuts.items(), hardness, strict=True)}
    decided = {name: truth ^ own[:, None] for name, own in wrong.items()}
    return truth, {name: ModelOutputs(own.astype(float), own) for name, own in decided.items()}


def test_95_percent_interval_covers_the_truth():
    """In 93 to 97 percent of the simulations."""
    rng = np.random.default_rng(7)
    # Balanced classes and symmetric mistakes: accuracy and macro F1 have the same expectation.
    truths = {"accuracy": 0.9, "macro_f1": 0.9, "accuracy change": 0.04, "macro_f1 change": 0.04}
    held, rounds = dict.fromkeys(truths, 0), 1000
    for number in range(rounds):
        truth, models = draw_pair(rng, 500)
        drawn = bootstrap.resample(truth, models, single=True, resamples=1000, seed=number).scores
        for name in ("accuracy", "macro_f1"):
            first, second = drawn["first"][name], drawn["second"][name]
            for key, values in ((name, first), (f"{name} change", first - second)):
                found = bootstrap.interval(0.0, values, 0.95)
                held[key] += found.low <= truths[key] <= found.high
    for key, count in held.items():
        assert 0.93 <= count / rounds <= 0.97, (key, count / rounds)


def test_a_higher_confidence_is_a_wider_interval():
    values = np.random.default_rng(0).normal(size=10_000)
    found = bootstrap.interval(0.0, values, 0.95)
    assert (found.low, found.high) == pytest.approx((-1.96, 1.96), abs=0.08)
    assert bootstrap.interval(0.0, values, 0.5).high == pytest.approx(0.674, abs=0.05)


def test_mcnemar_counts_only_what_the_models_disagree_on():
    first = np.array([True] * 90 + [True] * 9 + [False])
    second = np.array([True] * 90 + [False] * 9 + [True])
    assert bootstrap.mcnemar(first, second) == pytest.approx(2 * (1 + 10) / 2**10)
    assert bootstrap.mcnemar(first, first) == 1
