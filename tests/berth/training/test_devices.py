"""Several devices: two CPU devices of one process, two processes on loopback, and how rows are assigned to them."""

import json
import time
from types import SimpleNamespace

import numpy as np
import pytest
import tensorflow as tf

from berth.errors import BerthError
from berth.training.devices import assign, find
from tests.support import replicas, tiny_bert
from tests.support.datasets import write_dataset

TOLERANCE = 1e-4
"""Of losses between 0.5 and 0.7: sums of floats in another order, over 22 steps."""


@pytest.fixture(scope="module")
def tiny(tmp_path_factory) -> SimpleNamespace:
    """The tiny BERT without dropout, whose masks depend on how rows are assigned."""
    encoder, preprocessor = tiny_bert.build(tmp_path_factory.mktemp("tiny"), dropout=0.0, layers=1)
    return SimpleNamespace(encoder=encoder, preprocessor=preprocessor)


@pytest.fixture(scope="module")
def rows(real_rows, tmp_path_factory):
    return write_dataset(tmp_path_factory.mktemp("rows") / "dataset", real_rows, ["ham", "spam"])


def curve(folder) -> list[float]:
    return [value for _, value in json.loads((folder / "curve.json").read_text())]


def end(processes) -> list[int | None]:
    for process in processes:
        process.join(300)
    return [process.exitcode for process in processes]


@pytest.fixture(scope="module")
def alone(tmp_path_factory, rows, tiny) -> list[float]:
    """The curve of one process with one device. A training in a process of its own takes seconds."""
    folder = tmp_path_factory.mktemp("alone")
    assert end([replicas.start(folder, rows, tiny)]) == [0]
    return curve(folder)


def test_two_devices_have_the_curve_of_one(tmp_path, rows, tiny, alone):
    """This holds with and without gradient accumulation."""
    kinds = [(2, 1), (1, 2), (2, 2)]
    folders = [tmp_path / f"{devices}-{accumulate}" for devices, accumulate in kinds]
    started = [
        replicas.start(folder, rows, tiny, devices, accumulate=accumulate)
        for folder, (devices, accumulate) in zip(folders, kinds, strict=True)
    ]
    assert end(started) == [0] * 3
    two, accumulated, accumulated_by_two = map(curve, folders)
    assert len(alone) == 2 * (11 + 1)
    assert two == pytest.approx(alone, abs=TOLERANCE)
    assert len(accumulated) == 2 * (6 + 1)
    assert accumulated_by_two == pytest.approx(accumulated, abs=TOLERANCE)


def test_two_workers_have_the_curve_of_one(tmp_path, rows, tiny, alone):
    """This holds after a kill too, and only the chief writes."""
    checkpoints = tmp_path / "checkpoints"

    def start():
        workers = replicas.addresses(2)
        return [
            replicas.start(tmp_path / str(index), rows, tiny, 1, workers, index, str(checkpoints)) for index in range(2)
        ]

    killed = start()
    deadline = time.monotonic() + 300
    while len(list(checkpoints.glob("*/*.safetensors"))) < 2:
        assert [process.exitcode for process in killed] == [None, None]
        assert time.monotonic() < deadline
        time.sleep(0.05)
    for process in killed:
        process.kill()
    end(killed)
    assert end(start()) == [0, 0]
    for index in (0, 1):
        assert "going on from a checkpoint" in (tmp_path / str(index) / "log").read_text()
    resumed = curve(tmp_path / "0")
    assert resumed == pytest.approx(alone[-len(resumed) :], abs=TOLERANCE)
    written = {path.name for path in (tmp_path / "0").iterdir()}
    assert written == {"log", "curve.json", "model", "predictions.parquet"}
    assert [path.name for path in (tmp_path / "1").iterdir()] == ["log"]
    assert not list(checkpoints.iterdir())


def test_memory_that_runs_out_in_a_worker_stops_all_in_one_line(tmp_path, rows, tiny):
    """TensorFlow starts and compiles in both processes, which takes seconds."""
    workers, folders = replicas.addresses(2), [tmp_path / "chief", tmp_path / "worker"]
    started = [
        replicas.start(folder, rows, tiny, 1, workers, index, memory_until=3 * index)
        for index, folder in enumerate(folders)
    ]
    assert end(started) == [143, 1]
    chief, worker = ((folder / "log").read_text() for folder in folders)
    assert "failed: memory ran out in a batch of 31 texts. Try batch_size: 15, which starts again." in worker
    assert "Traceback" not in chief + worker


@pytest.mark.parametrize("replicas_here", [2, 3, 8])
def test_replicas_get_about_equal_rows_tokens_and_padding(replicas_here):
    rng = np.random.default_rng(0)
    rows = rng.permutation(500)[:100]
    widths = rng.integers(3, 128, 100)
    parts = assign(rows, widths, replicas_here)
    assert sorted(np.concatenate(parts)) == sorted(rows)
    width = dict(zip(rows, widths, strict=True))
    tokens = [sum(width[row] for row in part) for part in parts]
    longest = [max(width[row] for row in part) for part in parts]
    assert max(map(len, parts)) - min(map(len, parts)) <= 1
    assert max(tokens) - min(tokens) <= 128
    assert max(longest) - min(longest) <= 2 * replicas_here
    assert [len(part) for part in assign(rows[:1], widths[:1], 2)] == [1, 0]


def test_a_gpu_that_is_required_and_not_there_is_said():
    with pytest.raises(BerthError, match=r"require_gpu: no GPU is visible .*leave require_gpu out"):
        find(require_gpu=True)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ("{", "TF_CONFIG must be"),
        ("[]", "TF_CONFIG must be"),
        ('{"cluster": {"worker": ["a:1", "b:1"]}, "task": {"type": "worker", "index": 2}}', "TF_CONFIG must be"),
        ('{"cluster": {"ps": ["a:1"]}, "task": {"type": "ps", "index": 0}}', "type 'ps' does not train"),
    ],
)
def test_a_tf_config_that_names_no_worker_is_said(config, message, monkeypatch):
    monkeypatch.setenv("TF_CONFIG", config)
    with pytest.raises(BerthError, match=message):
        find()


def test_a_cluster_of_one_is_one_device(monkeypatch):
    monkeypatch.setenv("TF_CONFIG", '{"cluster": {"chief": ["a:1"]}, "task": {"type": "chief", "index": 0}}')
    devices = find()
    assert (devices.replicas, devices.chief, devices.alone) == (1, True, True)


def test_one_device_gets_no_strategy_and_gpus_grow_their_memory(monkeypatch):
    grown = []
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: [f"{kind}:0"])
    monkeypatch.setattr(tf.config, "list_logical_devices", lambda kind: [f"{kind}:0"])
    monkeypatch.setattr(tf.config.experimental, "set_memory_growth", lambda gpu, on: grown.append((gpu, on)))
    monkeypatch.setattr(tf.distribute, "MirroredStrategy", lambda _: pytest.fail("for one device"))
    assert find().replicas == 1
    assert grown == [("GPU:0", True)]
