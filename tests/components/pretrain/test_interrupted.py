"""Pre-training that is interrupted in each of its phases, on two devices, and in two processes."""

import re
from types import SimpleNamespace

import pytest

from berth.models.integrity import sha256_of
from tests.support import pretrainings, replicas, tiny_bert

TOLERANCE = 1e-4
"""Of losses around 7: sums of floats in another order, over 9 steps."""


def test_interrupted_pretraining_ends_like_an_unbroken_one(tmp_path, corpus, tiny):
    """Bit by bit: heads, all weights, and the words that the encoder before fills in. Four trainings take seconds."""
    folder = tmp_path / "runs"
    printed = pretrainings.run(pretrainings.interrupted_and_not, folder, corpus, tiny, [2, 5])
    # The first start ends in the heads' second step, the second one in the third of all weights.
    resumed = re.findall(r"going on from a checkpoint: epoch \d+, step (\d+)", printed)
    assert resumed == ["1", "3", "2"]
    whole, parts = folder / "whole", folder / "parts"
    shard = "encoder/variables/variables.data-00000-of-00001"
    assert sha256_of(whole / shard) == sha256_of(parts / shard)
    assert (whole / "outcome.json").read_text() == (parts / "outcome.json").read_text()
    assert not list((folder / "checkpoints").iterdir()), "it ended well"


@pytest.fixture(scope="module")
def still(tmp_path_factory) -> SimpleNamespace:
    """The tiny BERT without dropout, whose masks depend on how rows are assigned."""
    encoder, preprocessor = tiny_bert.build(tmp_path_factory.mktemp("tiny"), dropout=0.0, layers=1)
    return SimpleNamespace(encoder=encoder, preprocessor=preprocessor)


@pytest.fixture(scope="module")
def of_one(tmp_path_factory, corpus, still) -> dict[str, float]:
    """The losses of one device."""
    found: dict[str, float] = {}

    def keep(values, number):
        found.update(pretrainings.losses(values, number))

    folder = tmp_path_factory.mktemp("one")
    pretrainings.pretrain(folder, corpus, still, settings=pretrainings.SHORT, log_metrics=keep)
    assert len(found) >= 9
    return found


def losses(printed: str) -> dict[str, float]:
    return {name: float(value) for name, value in re.findall(r"loss (\S+ \d+) (\S+)", printed)}


def test_two_devices_have_the_losses_of_one(tmp_path, corpus, still, of_one):
    printed = pretrainings.run(pretrainings.on_devices, tmp_path / "two", corpus, still, 2)
    assert losses(printed) == pytest.approx(of_one, abs=TOLERANCE)


def test_two_workers_have_the_losses_of_one(tmp_path, corpus, still, of_one):
    """Two processes on loopback; only the chief writes. TensorFlow starts and compiles in both, which takes seconds."""
    folders = [tmp_path / name for name in ("chief", "worker")]
    workers = replicas.addresses(2)
    started = [
        pretrainings.start(pretrainings.as_worker, folder, corpus, still, workers, index)
        for index, folder in enumerate(folders)
    ]
    printed = [pretrainings.end(*own) for own in zip(started, folders, strict=True)]
    assert losses(printed[0]) == pytest.approx(of_one, abs=TOLERANCE)
    assert (folders[0] / "made/encoder/saved_model.pb").is_file()
    assert [path.name for path in folders[1].iterdir()] == ["log"]
