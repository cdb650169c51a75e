"""Training that goes on from a checkpoint on another machine, or with other settings that leave the result as it is."""

import json
import signal

import numpy as np
import pytest
import tensorflow as tf

from berth.errors import BerthError
from berth.training import train_step
from berth.training.checkpoints import Checkpoints
from berth.training.devices import Devices, find
from berth.training.preemption import Preempted
from berth.training.recipe import Recipe
from berth.training.settings import Training
from berth.training.trainer import Trainer
from tests.support.counting_task import Counting


class Cut(Exception):
    """The process ends here."""


@pytest.fixture
def trainer(tmp_path, monkeypatch):
    """Return a function that makes a trainer of the same run, whose `precision: auto` is the one given."""

    def make(precision="float32", run="one", **training) -> Trainer:
        monkeypatch.setattr(train_step, "choose", lambda _: precision)
        recipe = Recipe("berth", 2, 32, 1e-3, 0.1, 0.01, 0, Training(**training))
        return Trainer(Counting(), recipe, lambda *_: None, find(), Checkpoints(str(tmp_path), {"run": run}), 0.0)

    return make


def cut_after(made: Trainer, steps: int) -> None:
    """Run, and end without warning after so many steps, each of which has left a checkpoint."""
    step = made.train_step._step

    def limited(parts, rate, number, *rest):
        if number == steps:
            raise Cut
        return step(parts, rate, number, *rest)

    made.train_step._step = limited
    with pytest.raises(Cut):
        made.run()


@pytest.mark.parametrize(("before", "after"), [("float16", "float32"), ("float32", "float16")])
def test_auto_precision_that_differs_is_reported_and_goes_on(trainer, capsys, before, after):
    cut_after(trainer(before), 5)
    resumed = trainer(after)
    resumed.run()
    said = capsys.readouterr().out
    assert "going on from a checkpoint: epoch 1, step 5" in said
    assert f"anomaly warn the checkpoint is of steps in {before}, and precision: auto is {after} on this" in said
    assert resumed.state.step > 20


def test_halved_batches_stay_halved_after_a_restart(trainer):
    whole = trainer(run="whole", auto_batch=True)
    whole.train_step.most_rows = 8
    whole.run()
    cut = trainer(auto_batch=True)
    cut.train_step.most_rows = 8
    cut_after(cut, 7)
    resumed = trainer(auto_batch=True)
    resumed.run()
    assert resumed.train_step.most_rows == 8
    assert np.array_equal(*(own.task.variables[0].numpy() for own in (whole, resumed)))


def test_checkpoint_tensors_have_the_names_of_variables(trainer):
    names = set(trainer("float16").train_step.state)
    assert names == {"numbers:0", "moment/numbers:0", "square/numbers:0", "step:0", "loss_scale:0", "good_steps:0"}
    assert all(isinstance(own, tf.Variable) for own in trainer().train_step.state.values())


@pytest.mark.parametrize("training", [{}, {"evaluate_steps": 4}], ids=["epoch end", "between"])
def test_sigterm_in_an_evaluation_ends_it_and_it_is_made_later(trainer, training):
    whole = trainer(run="whole", **training)
    whole.run()
    asked = trainer(**training)

    def evaluate():
        signal.raise_signal(signal.SIGTERM)
        raise AssertionError("the evaluation goes on")

    asked.task.evaluate = evaluate
    with pytest.raises(Preempted, match="started again, it goes on from there"):
        asked.run()
    resumed = trainer(**training)
    evaluations, original = [], resumed.task.evaluate
    resumed.task.evaluate = lambda: evaluations.append(resumed.state.step) or original()
    resumed.run()
    assert evaluations[0] == asked.state.step
    assert np.array_equal(*(own.task.variables[0].numpy() for own in (whole, resumed)))


class Process(Devices):
    """One of several processes of a run, for which the test says what the others do."""

    def __init__(self, chief: bool, sent: list[dict] | None = None, asked: bool = False) -> None:
        super().__init__(tf.distribute.get_strategy(), 0, chief)
        self.sent, self.asked = sent if sent is not None else [], asked

    alone = False

    def any(self, flag: bool) -> bool:
        return flag or self.asked

    def from_chief(self, content: bytes) -> bytes:
        if self.chief:
            return content
        return json.dumps(self.sent.pop(0)).encode()


def of_several(trainer, devices: Process, **training) -> Trainer:
    made = trainer(**training)
    made.devices = made.train_step.devices = devices
    if not devices.chief:
        made.checkpoints = None
    return made


def test_workers_stop_early_when_the_chief_does(trainer):
    """Their own validation loss may differ in its last digit."""
    evaluations = [{"value": {"val_loss": loss}} for loss in (1.0, 2.0)]
    nothing = {"value": None}
    sent = [evaluations[0], nothing, evaluations[1], nothing, nothing]
    worker = of_several(trainer, Process(False, sent), early_stopping=1)
    worker._resume = lambda: None
    worker.task.score = lambda metrics: -metrics["val_loss"]
    assert worker.run().metrics == {"val_loss": 1.0}
    assert not sent


def test_an_error_of_the_chief_is_every_process_s_error():
    def fails():
        raise BerthError("the model has collapsed")

    with pytest.raises(BerthError, match="the model has collapsed"):
        Process(True).as_chief(fails)
    with pytest.raises(BerthError, match="the model has collapsed"):
        Process(False, [{"error": "the model has collapsed"}]).as_chief(lambda: None)
    assert Process(False, [{"value": 7}]).as_chief(fails) == 7


def test_sigterm_to_a_worker_saves_the_chiefs_checkpoint(trainer, tmp_path):
    chief = of_several(trainer, Process(True, asked=True))
    with pytest.raises(Preempted, match="after step 1; started again"):
        chief.run()
    assert len(list(tmp_path.rglob("*.safetensors"))) == 1


def test_a_process_that_is_gone_is_one_line_and_a_retry():
    words = r"another process of the run has ended \(peer is gone\)"
    with pytest.raises(Preempted, match=words), Process(True).together():
        raise tf.errors.UnavailableError(None, None, "peer is gone")


def test_auto_batch_of_several_processes_is_refused(trainer):
    recipe = Recipe("berth", 2, 32, 1e-3, 0.1, 0.01, 0, Training(auto_batch=True))
    with pytest.raises(BerthError, match=r"auto_batch: several processes \(TF_CONFIG\) cannot halve"):
        train_step.TrainStep(Counting(), recipe, Process(True))
