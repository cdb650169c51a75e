"""Loss and gradients against transformers' BertForPreTraining, on the same weights, batch and masks."""

from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from safetensors.numpy import load_file

from berth.encoders.builtin import bert
from berth.encoders.builtin.convert import HEADS
from berth.pretraining.batches import Batch
from berth.training.devices import find
from berth.training.recipe import Recipe
from berth.training.settings import Training
from berth.training.train_step import TrainStep
from components.pretrain.model import PretrainingModel
from components.pretrain.task import PretrainingTask

REFERENCE = Path(__file__).parent / "fixtures" / "bert_for_pretraining.safetensors"
CONFIG = bert.BertConfig(60, 16, 2, 2, 32, positions=24, dropout=0.0)
TOLERANCE = 1e-4


@pytest.fixture(scope="module")
def reference() -> dict[str, np.ndarray]:
    return load_file(REFERENCE)


def heads_of(state) -> dict[str, np.ndarray]:
    """Return the heads of a checkpoint, whose kernels are [out, in]."""
    return {name: np.ascontiguousarray(state[theirs].T) for name, theirs in HEADS.items()}


def dense(gradient) -> np.ndarray:
    return tf.convert_to_tensor(gradient).numpy()


def part(reference, name) -> dict[str, np.ndarray]:
    """Return the arrays whose names begin with `name`, without that."""
    return {key.removeprefix(name): value for key, value in reference.items() if key.startswith(name)}


@pytest.fixture(scope="module")
def task(reference, tmp_path_factory) -> PretrainingTask:
    folder = tmp_path_factory.mktemp("reference") / "encoder"
    bert.save_encoder(CONFIG, part(reference, "weight/bert."), folder)
    brought = heads_of(part(reference, "weight/"))
    model = PretrainingModel(str(folder), "reference", 0, True, brought)
    assert not model.new_heads
    return PretrainingTask(model, model, None, None, None)


@pytest.fixture(scope="module")
def batch(reference) -> Batch:
    own = part(reference, "batch/")
    labels = own["labels"].ravel()
    positions = np.flatnonzero(labels >= 0).astype(np.int32)
    rows = len(own["ids"])
    weights = np.full(rows, rows / len(positions), np.float32)
    return Batch(own["ids"], own["mask"], own["types"], positions, labels[positions], 1 - own["other"], weights)


def test_loss_and_gradients_are_those_of_transformers(reference, task, batch):
    recipe = Recipe("berth", 1, 4, 1e-3, 0.1, 0.01, 0, Training(precision="float32"))
    loss, gradients = TrainStep(task, recipe, find())._gradients([batch], float(len(batch.ids)))
    assert float(loss) == pytest.approx(float(reference["loss"][0]), abs=TOLERANCE)
    theirs = part(reference, "gradient/")
    expected = bert._as_used(CONFIG, part(theirs, "bert.")) | heads_of(theirs)
    expected = {name.replace(".", "/"): value for name, value in expected.items()}
    found = {own.name.split(":")[0]: dense(value) for own, value in zip(task.variables, gradients, strict=True)}
    assert found.keys() == expected.keys()
    for name, value in found.items():
        np.testing.assert_allclose(value, expected[name], atol=TOLERANCE, err_msg=name)


def test_word_table_gets_lookups_and_outputs_as_one_tensor(task, batch):
    """Adam with rows that are touched alone would update every row twice in part."""
    step = TrainStep(task, Recipe("berth", 1, 4, 1e-3, 0.1, 0.01, 0, Training(precision="float32")), find())
    _, gradients = step._gradients([batch], 4.0)
    place = [own is task.replicated.table for own in task.variables].index(True)
    assert gradients[place].shape == (60, 16)
