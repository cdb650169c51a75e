"""One step of training: from one batch, from several, with frozen layers, and when memory runs out."""

import numpy as np
import pytest
import tensorflow as tf

from berth.data.token_ids import TokenisedSplit
from berth.encoders import loading
from berth.encoders.preprocessor import Preprocessor, tokenize_all
from berth.errors import BerthError
from berth.training.devices import find
from berth.training.recipe import Recipe
from berth.training.settings import Training
from berth.training.train_step import TrainStep
from components.train.classifier import Classifier
from components.train.task import ClassificationTask

RATE = 1e-3


class WithoutDropout(Classifier):
    """Answers in training as it does otherwise, so that two ways to the same update can be compared."""

    def vectors(self, inputs, training):
        return super().vectors(inputs, training=False)

    def logits_of(self, pooled, training):
        return super().logits_of(pooled, training=False)


@pytest.fixture(scope="module")
def preprocessor(tiny) -> Preprocessor:
    return Preprocessor(loading.load("preprocessor", tiny.preprocessor, "tiny"), 32, "tiny")


@pytest.fixture(scope="module")
def split(preprocessor, real_rows) -> TokenisedSplit:
    texts, labels = zip(*real_rows["train"], strict=True)
    targets = np.array([label == "spam" for label in labels], np.int32)
    return TokenisedSplit(tokenize_all(preprocessor, texts)[0], targets)


@pytest.fixture
def train_step(tiny, preprocessor, split):
    """Return a function that makes the TrainStep of a new classifier with the same weights."""

    def make(**training) -> TrainStep:
        options = Training(**({"precision": "float32"} | training))
        classifier = WithoutDropout(tiny.encoder, "tiny", ["ham", "spam"], 0)
        recipe = Recipe("berth", 1, 16, RATE, 0.1, 0.01, 0, options)
        return TrainStep(ClassificationTask(classifier, classifier, preprocessor, split, split, recipe), recipe, find())

    return make


def weights(made: TrainStep) -> list[np.ndarray]:
    return made.task.classifier.weights()


ROWS = np.arange(16)


def test_batches_that_make_one_step_together_update_as_one_batch(train_step):
    whole, parts = train_step(), train_step()
    for _ in range(2):
        loss = whole([ROWS], RATE, 0).read()
        assert parts([ROWS[:11], ROWS[11:]], RATE, 0).read() == pytest.approx(loss, abs=1e-5)
    for own, other in zip(weights(whole), weights(parts), strict=True):
        assert own == pytest.approx(other, abs=2e-5)


def test_frozen_embeddings_and_layers_stay_and_the_rest_learns(train_step):
    made = train_step(freeze_embeddings=True, freeze_layers=1)
    before = weights(made)
    made([ROWS], RATE, 0)
    changed = {
        variable.name: bool((old != new).any())
        for variable, old, new in zip(made.task.variables, before, weights(made), strict=True)
    }
    frozen = {name for name in changed if "embeddings" in name or "/layer/0/" in name}
    assert len(frozen) == 17
    assert {name for name, own in changed.items() if not own} == frozen


def running_out(made: TrainStep, rows: int) -> None:
    """Let gradients of more than `rows` texts fail as TensorFlow does when memory runs out."""

    def limit(function):
        def limited(shares, *rest):
            if len(shares[0][1]) > rows:
                raise tf.errors.ResourceExhaustedError(None, None, "OOM when allocating tensor")
            return function(shares, *rest)

        return limited

    made._fused, made._gradients = limit(made._fused), limit(made._gradients)


def test_auto_batch_halves_when_memory_runs_out(train_step, capsys):
    """The update stays the same."""
    plain, small = train_step(), train_step(auto_batch=True)
    running_out(small, 5)
    for _ in range(2):
        assert small([ROWS], RATE, 0).read() == pytest.approx(plain([ROWS], RATE, 0).read(), abs=1e-5)
    for own, other in zip(weights(plain), weights(small), strict=True):
        assert own == pytest.approx(other, abs=2e-5)
    said = capsys.readouterr().out.splitlines()
    assert said == [f"memory ran out in a batch of {n} texts; going on with {n // 2} at a time" for n in (16, 8)]


def test_without_auto_batch_the_error_says_which_size_to_try(train_step):
    made = train_step()
    running_out(made, 5)
    with pytest.raises(
        BerthError,
        match=r"in a batch of 16 texts\. Try training\.auto_batch: true, which goes on from here, or batch_size: 8",
    ):
        made([ROWS], RATE, 0)
    alone = train_step(auto_batch=True)
    running_out(alone, 0)
    with pytest.raises(BerthError, match=r"in a batch of 1 texts\. Try a smaller sequence_length"):
        alone([ROWS], RATE, 0)
