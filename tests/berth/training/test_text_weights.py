"""How much each text of an epoch counts, on a task whose gradient is just that."""

import numpy as np
import pytest
import tensorflow as tf

from berth.training.devices import find
from berth.training.recipe import Recipe
from berth.training.settings import Training
from berth.training.trainer import Trainer

WIDTHS = np.concatenate([np.random.default_rng(0).integers(4, 20, 460), np.arange(40, 240, 5)])


class Summing:
    """Adds up the gradients that it gets."""

    state: tuple = ()

    def apply(self, gradients, variables, learning_rate, weight=1.0):
        variables[0].assign_add(gradients[0])


class Counting:
    """A task with a number for each text: a text's loss is its number, so its gradient is what the text counts."""

    batch_signature = (tf.TensorSpec([None], tf.int32),)
    widths = WIDTHS

    def __init__(self, padded_width=0):
        self.padded_width = padded_width
        self.sizes = []
        self.variables = [tf.Variable(tf.zeros(len(WIDTHS)), name="numbers")]
        self.tied = []

    def begin_epoch(self, epoch):
        pass

    def rows_of(self, epochs):
        return len(WIDTHS) * epochs

    def batch(self, rows):
        self.sizes.append(len(rows))
        return (rows.astype(np.int32),)

    def loss(self, batch):
        return tf.reduce_sum(tf.one_hot(batch[0], len(WIDTHS)) * self.variables[0], -1)

    def evaluate(self):
        return {"val_loss": 0.0}

    def begin(self):
        return {}

    def weights(self):
        return [self.variables[0].numpy()]

    def seed(self, *_):
        pass

    score = end = restore = lambda self, *_: 0.0


@pytest.mark.parametrize(
    "training", [{}, {"batch_tokens": 512}, {"accumulate": 3}, {"auto_batch": True}], ids=lambda own: str(own)
)
def test_every_text_of_an_epoch_counts_the_same(training):
    """Long texts come in smaller batches, and count no more for that."""
    recipe = Recipe("berth", 1, 32, 1e-3, 0.1, 0.01, 0, Training(precision="float32", **training))
    task = Counting()
    trainer = Trainer(task, recipe, lambda *_: None, find())
    trainer.train_step.optimizer = Summing()
    trainer.run()
    counted = task.variables[0].numpy()
    assert counted == pytest.approx(np.full(len(WIDTHS), counted.mean()), rel=1e-5)


def test_the_baselines_token_budget_counts_padding():
    """Its texts are all padded to the sequence length."""
    recipe = Recipe("baseline", 1, 32, 1e-3, 0.1, 0.01, 0, Training(batch_tokens=1024))
    task = Counting(padded_width=240)
    Trainer(task, recipe, lambda *_: None, find()).run()
    assert max(task.sizes) == 1024 // 240
