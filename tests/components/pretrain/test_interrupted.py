"""Pre-training that is interrupted in each of its phases, and pre-training on two devices."""

import re
from types import SimpleNamespace

import pytest

from berth.models.integrity import sha256_of
from tests.support import pretrainings, tiny_bert

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


def test_two_devices_have_the_losses_of_one(tmp_path, corpus, tmp_path_factory, capsys):
    """Without dropout, whose masks depend on how rows are assigned."""
    encoder, preprocessor = tiny_bert.build(tmp_path_factory.mktemp("tiny"), dropout=0.0)
    tiny = SimpleNamespace(encoder=encoder, preprocessor=preprocessor)
    printed = pretrainings.run(pretrainings.on_devices, tmp_path / "two", corpus, tiny, 2)
    capsys.readouterr()
    (tmp_path / "one").mkdir()
    pretrainings.pretrain(
        tmp_path / "one", corpus, tiny, settings=pretrainings.SHORT, log_metrics=pretrainings.print_losses
    )
    one, two = (dict(re.findall(r"loss (\S+ \d+) (\S+)", text)) for text in (capsys.readouterr().out, printed))
    assert one.keys() == two.keys()
    assert len(one) >= 9
    assert [float(two[name]) for name in one] == pytest.approx([float(value) for value in one.values()], abs=TOLERANCE)
