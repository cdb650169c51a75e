"""Encoders that are plain tf.Modules: their SavedModels do not list their variables."""

import numpy as np
import pytest
import tensorflow as tf

from berth.encoders import vocabulary
from berth.encoders.adapter import INPUTS, of_encoder, trainable_variables
from berth.encoders.loading import load
from berth.errors import BerthError
from components.train.classifier import Classifier

_SIGNATURE = [{name: tf.TensorSpec([None, None], tf.int32, name=name) for name in INPUTS}]


class Plain(tf.Module):
    """A word table, one layer, and a variable that no call reaches."""

    def __init__(self, trainable: bool = True) -> None:
        super().__init__()
        values = np.random.default_rng(0).normal(0, 1, (40, 8)).astype(np.float32)
        self.table = tf.Variable(values, name="word_embeddings", trainable=trainable)
        self.kernel = tf.Variable(values[:8], name="layer_0/kernel", trainable=trainable)
        self.places = tf.Variable(values[:16], name="position_embeddings", trainable=trainable)
        self.unused = tf.Variable(values, name="language_model")

    @tf.function(input_signature=_SIGNATURE)
    def __call__(self, inputs):
        length = tf.shape(inputs["input_word_ids"])[1]
        places = tf.gather(self.places, tf.minimum(tf.range(length), 15))  # no error for longer ones, as on a GPU
        sequence = tf.gather(self.table, inputs["input_word_ids"]) + places
        return {"sequence_output": sequence, "pooled_output": tf.tanh(sequence[:, 0] @ self.kernel)}


@pytest.fixture
def folder(tmp_path):
    """Return a function that saves an encoder and returns its folder."""

    def save(module: tf.Module) -> str:
        tf.saved_model.save(module, str(tmp_path / "encoder"))
        return str(tmp_path / "encoder")

    return save


def test_an_encoder_that_lists_no_variables_is_trained(folder):
    encoder = folder(Plain())
    for strategy in (tf.distribute.get_strategy(), tf.distribute.MirroredStrategy(["CPU:0"])):
        with strategy.scope():
            classifier = Classifier(encoder, "plain", ["ham", "spam"], 0)
        names = [variable.name for variable in classifier.variables]
        assert names == [
            "position_embeddings:0",
            "word_embeddings:0",
            "layer_0/kernel:0",
            "head/kernel:0",
            "head/bias:0",
        ]
        classifier.check_trainable("plain")


def test_an_encoder_with_nothing_to_train_is_refused(folder):
    classifier = Classifier(folder(Plain(trainable=False)), "plain", ["ham", "spam"], 0)
    with pytest.raises(BerthError, match=r"'plain' has no variable that fine-tuning could change.*recipe: frozen"):
        classifier.check_trainable("plain")


def test_the_word_table_of_a_plain_encoder_is_found(folder):
    loaded = load("encoder", folder(Plain()), "plain")
    assert vocabulary.rows(loaded, of_encoder(loaded, "plain"), 0) == 40
    assert len(trainable_variables(loaded)) == 3


def test_texts_beyond_the_position_table_are_refused_on_a_gpu(folder, monkeypatch):
    """There the lookup gives zeros, and no error."""
    classifier = Classifier(folder(Plain()), "plain", ["ham", "spam"], 0)
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: [kind])
    assert classifier.accepts(16)
    assert not classifier.accepts(17)
    with pytest.raises(BerthError, match="does not accept texts of 32 tokens"):
        classifier.check_length(32, "plain")
