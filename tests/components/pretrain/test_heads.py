"""Heads: where trained ones are found, and what new ones begin with."""

from types import SimpleNamespace

import numpy as np
import pytest

from berth.encoders.builtin.mlm import BERTS, MLM, NSP, of_encoder
from berth.encoders.wordpiece import find_vocabulary
from berth.errors import BerthError
from berth.pretraining.settings import NewEncoder
from components.pretrain import new_encoder, origin
from components.pretrain.heads import fresh
from components.pretrain.model import PretrainingModel

THEIRS = {
    "cls/predictions/transform/dense/kernel:0": (8, 4),
    "cls/predictions/transform/dense/bias:0": (4,),
    "cls/predictions/transform/LayerNorm/gamma:0": (4,),
    "cls/predictions/transform/LayerNorm/beta:0": (4,),
    "cls/predictions/output_bias/bias:0": (30,),
    "transformer/layer_0/output_layer_norm/gamma:0": (8,),
    "transformer/layer_0/output/kernel:0": (8, 8),
    "pooler_transform/kernel:0": (8, 8),
}
"""Names in TF Model Garden's exports, among those of the encoder's own."""


def encoder_with(names):
    variables = [SimpleNamespace(name=name, numpy=lambda shape=shape: np.ones(shape)) for name, shape in names.items()]
    return SimpleNamespace(mlm=SimpleNamespace(variables=variables))


def test_heads_of_a_hub_encoder_are_found_by_name():
    found, transform = of_encoder(encoder_with(THEIRS))
    assert transform == BERTS
    assert found.keys() == MLM.keys()
    assert found["head/mlm/transform/kernel"].shape == (8, 4)


def test_heads_with_a_part_missing_are_not_taken():
    fewer = {name: shape for name, shape in THEIRS.items() if "output_bias" not in name}
    assert of_encoder(encoder_with(fewer)) == ({}, BERTS)
    assert of_encoder(SimpleNamespace()) == ({}, BERTS)


def test_new_weights_have_the_published_spread(tmp_path):
    """A normal distribution of deviation 0.02, cut at two; the same for the same seed."""
    kernel = fresh(128, 100, 128, seed=3)["head/mlm/transform/kernel"]
    assert np.abs(kernel).max() <= 0.04
    assert kernel.std() == pytest.approx(0.02 * 0.88, rel=0.02)
    assert (kernel == fresh(128, 100, 128, seed=3)["head/mlm/transform/kernel"]).all()
    assert not (kernel == fresh(128, 100, 128, seed=4)["head/mlm/transform/kernel"]).any()


def test_new_encoder_has_its_shape_and_all_its_heads(tmp_path, tiny):
    shape = NewEncoder.model_validate({"layers": 1, "hidden": 16, "heads": 2, "vocabulary": 100})
    new_encoder.write(tmp_path / "encoder", shape, len(find_vocabulary("", tiny.preprocessor).pieces), seed=0)
    model = PretrainingModel(str(tmp_path / "encoder"), "new", 0, True)
    assert model.new_heads == [*MLM, *NSP]
    assert model.table.shape[1] == model.hidden == 16


def test_encoder_that_is_not_there_is_one_error(tmp_path):
    with pytest.raises(BerthError, match="encoder: no folder"):
        origin.begin(str(tmp_path / "nowhere"), None, "", tmp_path, tmp_path, 0)
