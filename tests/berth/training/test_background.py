"""Work in the background of training: batches made ahead, losses read later, checkpoints written meanwhile."""

import threading

import numpy as np
import pytest
import tensorflow as tf

from berth.errors import BerthError
from berth.training import pending, trainer
from berth.training.checkpoint_storage import LocalCheckpoints
from berth.training.checkpoints import Checkpoints
from berth.training.devices import find
from berth.training.recipe import Recipe
from berth.training.settings import Training
from berth.training.trainer import Trainer
from tests.support.counting_task import Counting

RECIPE = Recipe("berth", 2, 32, 1e-3, 0.1, 0.01, 0, Training(precision="float32"))


@pytest.fixture
def made(tmp_path, monkeypatch):
    """Return a function that makes a trainer of a task, in folder of its own, that logs once an epoch."""
    monkeypatch.setattr(trainer, "_POINTS", 1)
    monkeypatch.setattr(trainer, "_PROGRESS_SECONDS", 60)

    def make(task, name="a", seconds=3600.0) -> Trainer:
        return Trainer(task, RECIPE, lambda *_: None, find(), Checkpoints(str(tmp_path / name), {"run": name}), seconds)

    return make


class Threads(Counting):
    """Notes which thread makes each batch."""

    def __init__(self):
        super().__init__()
        self.threads = []

    def batch(self, rows):
        self.threads.append(threading.current_thread())
        return super().batch(rows)


def test_batches_are_made_during_the_step_before(made):
    """All but the first one of each epoch, and each of them once."""
    task = Threads()
    run = made(task)
    run.run()
    assert sum(task.sizes) == len(task.widths) * 2
    assert sum(own is threading.main_thread() for own in task.threads) == 2
    assert len(task.threads) == run.state.step


class Failing(Counting):
    """A task whose loss is not a number from the batch `bad` on."""

    def __init__(self, bad):
        super().__init__()
        self.steps, self.bad = tf.Variable(0), bad

    def loss(self, batch):
        done = self.steps.assign_add(1)
        return super().loss(batch) / tf.where(done >= self.bad, 0.0, 1.0)


def test_a_loss_that_is_read_later_still_names_its_step(made, tmp_path):
    """It is read before a checkpoint is written: what is left is whole, and from before that step."""
    run = made(Failing(6))
    with pytest.raises(BerthError, match=r"the loss is nan in epoch 1, step 6 of \d+, .*Lower learning_rate"):
        run.run()
    assert 6 < run.state.step <= 6 + pending.MOST, "reading does not hold up each step"
    with pytest.raises(BerthError, match=r"epoch 1, step 6 of"):
        made(Failing(6), "b", 0.0).run()
    _, position = Checkpoints(str(tmp_path / "b"), {"run": "b"}).restore()
    assert position["step"] == 5


def test_training_goes_on_while_a_checkpoint_is_written(made, monkeypatch):
    """And ends as it does without one; its losses too."""
    plain = made(Counting())
    plain.run()
    run = made(Counting(), "b", 0.0)
    goes_on, step, write = threading.Event(), run.train_step._step, LocalCheckpoints.write
    numbers = []

    def stepping(parts, rate, number, *rest):
        numbers.append(number)
        if number == 1:
            goes_on.set()
        return step(parts, rate, number, *rest)

    def writing(folder, name, file):
        assert goes_on.wait(60), "the step after the first checkpoint is made before that is written"
        write(folder, name, file)

    run.train_step._step = stepping
    monkeypatch.setattr(LocalCheckpoints, "write", writing)
    run.run()
    assert len(numbers) == plain.state.step
    assert run.state.whole.loss == plain.state.whole.loss
    assert np.array_equal(*(own.task.variables[0].numpy() for own in (plain, run)))
