"""Weights of the texts of an epoch, on a task whose gradient is just that."""

import numpy as np
import pytest

from berth.training.devices import find
from berth.training.recipe import Recipe
from berth.training.settings import Training
from berth.training.trainer import Trainer
from tests.support.counting_task import WIDTHS, Counting, Summing


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
