"""The training loop: when it evaluates, when it stops, and what it calls a failure."""

import math

import numpy as np
import pytest

from berth.data.token_ids import TokenisedSplit
from berth.encoders import loading
from berth.encoders.preprocessor import Preprocessor, tokenize_all
from berth.errors import BerthError
from berth.training.devices import find
from berth.training.recipe import Recipe
from berth.training.settings import Training
from berth.training.trainer import Trainer
from components.train.classifier import Classifier
from components.train.task import ClassificationTask
from tests.support.counting_task import Counting


@pytest.fixture(scope="module")
def preprocessor(tiny) -> Preprocessor:
    return Preprocessor(loading.load("preprocessor", tiny.preprocessor, "tiny"), 32, "tiny")


@pytest.fixture(scope="module")
def splits(preprocessor, real_rows) -> dict[str, TokenisedSplit]:
    return {
        name: TokenisedSplit(
            tokenize_all(preprocessor, [text for text, _ in rows])[0],
            np.array([label == "spam" for _, label in rows], np.int32),
        )
        for name, rows in real_rows.items()
    }


def test_hundreds_of_rare_labels_start_from_their_shares(tiny, preprocessor, splits):
    """From one half each, a run of usual length ended where it gave no text a label."""
    labels = [str(number) for number in range(200)]
    both = splits["train"], splits["validation"]
    rare = [TokenisedSplit(own.tokens, np.eye(200, dtype=np.int32)[np.arange(len(own)) % 200]) for own in both]
    classifier = Classifier(tiny.encoder, "tiny", labels, 0, "multi_label")
    still = Recipe("berth", 1, 32, 1e-30, 0.1, 0.01, 0, Training())
    task = ClassificationTask(classifier, classifier, preprocessor, *rare, still)
    share = 1 / 200
    entropy = -share * np.log(share) - (1 - share) * np.log(1 - share)
    assert task.evaluate()["val_loss"] == pytest.approx(entropy, rel=0.2)


@pytest.fixture
def fitted(tiny, preprocessor, splits):
    """Return a function that trains a new classifier; it returns the outcome and what was logged, in order."""

    def make(recipe="berth", epochs=1, rate=1e-3, **training):
        logged: list[tuple[int, dict[str, float]]] = []
        classifier = Classifier(tiny.encoder, "tiny", ["ham", "spam"], 0)
        chosen = Recipe(recipe, epochs, 32, rate, 0.1, 0.01, 0, Training(**training))
        task = ClassificationTask(classifier, classifier, preprocessor, splits["train"], splits["validation"], chosen)
        outcome = Trainer(task, chosen, lambda values, number: logged.append((number, values)), find()).run()
        return outcome, logged

    return make


def test_training_stops_early_and_evaluates_between_epochs(fitted, capsys):
    """It ends when nothing gets better."""
    # A rate that changes no weight: the first evaluation is the best, four of five an epoch come after it.
    outcome, logged = fitted(epochs=9, rate=1e-30, early_stopping=3, evaluate_steps=4, select_by="val_accuracy")
    evaluated = [number for number, values in logged if "steps/val_accuracy" in values]
    assert evaluated == [4, 8, 12]
    assert outcome.best_epoch == 1
    assert outcome.epochs == 2
    assert "epoch 1/9 · loss " in capsys.readouterr().out


def test_training_curve_is_logged_during_training(fitted):
    """The log has speed, padding and floating-point operations."""
    _, logged = fitted(batch_tokens=256)
    steps = [values for _, values in logged if "steps/train_loss" in values]
    assert len(steps) > 20
    for name in ("examples_per_second", "tokens_per_second", "gflops_per_second", "learning_rate"):
        assert all(values[f"steps/{name}"] > 0 for values in steps)
    assert all(0 <= values["steps/padding_share"] < 0.5 for values in steps)
    (epoch,) = [values for _, values in logged if "val_loss" in values]
    assert epoch["train_loss"] == pytest.approx(np.mean([values["steps/train_loss"] for values in steps]), rel=0.1)


def test_excessive_rate_ends_with_a_collapse_diagnosis(fitted):
    """The learning rate is so high that the model gives every text the same answer."""
    with pytest.raises(
        BerthError, match=r"the model has collapsed: it predicts 'ham' for every validation text.*\(0\.3\)"
    ):
        fitted(recipe="baseline", rate=0.3)


def test_baseline_uses_adam_default_rate_and_full_padding(fitted):
    """Every text is padded to the sequence length."""
    _, logged = fitted(recipe="baseline", rate=0)
    (epoch,) = [values for _, values in logged if "val_loss" in values]
    assert epoch["learning_rate"] == pytest.approx(1e-3)
    assert epoch["padding_share"] > 0.2


@pytest.mark.parametrize(
    ("margin", "kept", "epochs"),
    [
        (0.0, 2, 4),  # the lowest; then two that are higher end the run
        (0.15, 5, 5),  # the newest within 0.15 of the lowest; no two in a row are higher
        (math.inf, 5, 5),  # the newest
    ],
)
def test_the_newest_evaluation_within_the_margin_is_kept(margin, kept, epochs):
    """Two evaluations in a row that are not kept end the run."""
    losses = iter([1.0, 0.5, 0.8, 0.6, 0.64])
    task = Counting()
    task.evaluate = lambda: {"val_loss": next(losses)}
    task.score = lambda metrics: -metrics["val_loss"]
    task.margin = lambda metrics: margin
    task.restore = lambda weights: restored.append(weights[0].copy())
    restored = []
    recipe = Recipe("berth", 5, 32, 1e-3, 0.1, 0.01, 0, Training(early_stopping=2))
    outcome = Trainer(task, recipe, lambda *_: None, find()).run()
    assert (outcome.best_epoch, outcome.epochs, len(restored)) == (kept, epochs, 1)
