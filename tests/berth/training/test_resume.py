"""Training that is killed or asked to end, in real processes, ends as one that nobody disturbed."""

import json
import re
import signal

import pytest

from tests.support import resuming
from tests.support.datasets import write_dataset

STEPS = 10
"""Of an epoch of the 320 texts, 32 at a time."""


def outcome(folder):
    """Return what a training ended with: its last epoch's metrics but the speeds, and what the model says."""
    metrics = json.loads((folder / "metrics.json").read_text())["3"]
    numbers = {name: metrics[name] for name in ("train_loss", "val_loss", "val_accuracy", "learning_rate")}
    return numbers, (folder / "predictions.parquet").read_bytes()


def log(folder) -> str:
    return (folder / "log").read_text()


def resumed_at(folder) -> list[int]:
    """Return the steps after which a training went on, one for each start that found a checkpoint."""
    return [int(step) for step in re.findall(r"going on from a checkpoint: epoch \d+, step (\d+)", log(folder))]


@pytest.fixture(scope="module")
def rows(real_rows, tmp_path_factory):
    return write_dataset(tmp_path_factory.mktemp("rows") / "dataset", real_rows, ["ham", "spam"])


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory, rows, tiny):
    folder = tmp_path_factory.mktemp("undisturbed")
    assert resuming.run(folder, rows, tiny) == 0
    return folder


def test_repeatedly_killed_training_ends_like_an_unbroken_one(tmp_path, rows, tiny, undisturbed):
    # Where each is killed, at which call of that place since it started, and the last step that the next goes on from:
    # a checkpoint is written while training goes on, and may not be whole yet.
    kills = [
        ("step", 1, None),
        ("step", 5, 4),
        ("save", 4, 7),
        ("evaluation", 1, STEPS),
        ("save", 1, STEPS),
        ("step", STEPS + 3, 2 * STEPS + 2),
    ]
    for point, call, _ in kills:
        assert resuming.run(tmp_path, rows, tiny, signal.SIGKILL, point, call) == -signal.SIGKILL
        assert not (tmp_path / "model").exists()
    assert resuming.run(tmp_path, rows, tiny) == 0
    for resumed, step in zip(resumed_at(tmp_path), [step for _, _, step in kills if step], strict=True):
        assert step - 3 <= resumed <= step
    assert outcome(tmp_path) == outcome(undisturbed)
    assert not list((tmp_path / "checkpoints").iterdir()), "it ended well"


def test_sigterm_saves_after_the_step_and_exits_for_a_retry(tmp_path, rows, tiny, undisturbed):
    """The exit code is one that orchestrators try again."""
    assert resuming.run(tmp_path, rows, tiny, signal.SIGTERM, "step", STEPS + 4) == 143
    assert resuming.run(tmp_path, rows, tiny, signal.SIGTERM, "evaluation", 1) == 143
    assert resuming.run(tmp_path, rows, tiny) == 0
    assert resumed_at(tmp_path) == [STEPS + 4, 2 * STEPS]
    assert outcome(tmp_path) == outcome(undisturbed)
