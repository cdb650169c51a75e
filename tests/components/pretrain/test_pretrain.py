"""The pretrain step on the tiny BERT: it learns, and what it exports loads as any encoder of TF-Hub."""

import errno
import json
import os

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_hub as hub

from berth.encoders.seeded_dropout import with_seeded_dropout
from berth.errors import BerthError
from berth.models import integrity
from berth.pretraining.fill import MaskFiller
from berth.pretraining.settings import NewEncoder, Pretraining
from berth.pretraining.token_store import TokenStore
from components.pretrain.__main__ import main
from components.pretrain.model import PretrainingModel
from components.pretrain.step import pretrain_encoder
from tests.support.pretraining import SETTINGS, no_vocabulary, pretrain

TEXT = ["see you at home tonight", "free entry"]


def test_loss_falls_on_held_out_documents(pretrained):
    before, after = pretrained.outcome.before, pretrained.outcome.after
    assert after["mlm_loss"] < before["mlm_loss"] - 0.3
    assert set(after) == {"mlm_loss", "mlm_accuracy", "pseudo_perplexity", "nsp_accuracy"}


def test_encoder_loads_with_plain_keras_layers(pretrained):
    """The original recipe, with the folder in place of TF-Hub's addresses; it trains, too."""
    import tf_keras

    text = tf_keras.layers.Input(shape=(), dtype=tf.string)
    inputs = hub.KerasLayer(str(pretrained.encoder / "preprocessor"))(text)
    outputs = hub.KerasLayer(str(pretrained.encoder), trainable=True)(inputs)
    net = tf_keras.layers.Dropout(0.1)(outputs["pooled_output"])
    model = tf_keras.Model(text, tf_keras.layers.Dense(1)(net))
    model.compile(optimizer=tf_keras.optimizers.Adam(1e-3), loss=tf_keras.losses.BinaryCrossentropy(from_logits=True))
    first = model.trainable_variables[0].numpy()
    model.fit(tf.constant(TEXT), tf.constant([0.0, 1.0]), verbose=0)
    assert not np.allclose(first, model.trainable_variables[0].numpy())


def test_exported_encoder_answers_as_the_trained_one(pretrained):
    """To 1e-5: in its outputs, and in the words of its part mlm, whose heads are taken when it is trained on."""
    loaded = hub.load(str(pretrained.encoder))
    inputs = hub.load(str(pretrained.encoder / "preprocessor"))(tf.constant(TEXT))
    again = PretrainingModel(str(pretrained.encoder), "again", 1, True)
    assert not again.new_heads
    outputs = loaded(inputs, training=False)
    words = loaded.mlm(inputs | {"masked_lm_positions": tf.constant([[1, 2], [1, 0]])}, training=False)
    trained = again.outputs(inputs, training=False)
    for name in ("pooled_output", "sequence_output"):
        np.testing.assert_allclose(outputs[name], trained[name], atol=1e-5)
        np.testing.assert_allclose(words[name], trained[name], atol=1e-5)
    expected = again.heads.words(trained["sequence_output"][0, 1:3], again.table)
    np.testing.assert_allclose(words["mlm_logits"][0], expected, atol=1e-5)
    told = json.loads((pretrained.before / "before.json").read_text())
    assert told["trained"]["mlm_loss"] == pytest.approx(pretrained.outcome.after["mlm_loss"])


def test_dropout_of_an_exported_encoder_can_be_seeded(pretrained, tmp_path):
    """Fine-tuning it is as repeatable as that of the encoder that it was made from."""
    assert with_seeded_dropout(str(pretrained.encoder), tmp_path) != str(pretrained.encoder)


def test_encoder_folder_is_sealed_and_says_what_it_is(pretrained):
    integrity.verify(pretrained.encoder)
    facts = json.loads((pretrained.encoder / "encoder.json").read_text())
    assert facts["tokens_seen"] == pretrained.outcome.tokens
    assert facts["settings"]["steps"] == SETTINGS["steps"]
    assert {"base", "corpus", "vocabulary", "versions"} <= facts.keys()


@pytest.fixture(scope="module")
def filler(pretrained) -> MaskFiller:
    return MaskFiller(pretrained.encoder)


def test_words_fill_a_blank(filler):
    found = filler.fill("see you [MASK] , free [MASK]", 3)
    assert [len(own) for own in found] == [3, 3]
    shares = [one.probability for one in found[0]]
    assert shares == sorted(shares, reverse=True)
    assert not any(one.piece.startswith(("##", "[")) for own in found for one in own)


@pytest.mark.parametrize(("text", "said"), [("no blank", "has no \\[MASK\\]"), ("[MASK] " * 600, "600|602 tokens")])
def test_text_that_cannot_be_filled(filler, text, said):
    with pytest.raises(BerthError, match=said):
        filler.fill(text)


def test_encoder_without_mlm_part_fills_no_words(tiny):
    with pytest.raises(BerthError, match="has no part mlm"):
        MaskFiller(tiny.encoder, tiny.preprocessor)


def test_layers_that_are_not_there_end_it_before_the_heads(corpus, tiny, tmp_path, capsys):
    with pytest.raises(BerthError, match=r"freeze_layers: 9 is more than the encoder has \(1\)"):
        pretrain(tmp_path, corpus, tiny, settings={"freeze_layers": 9})
    assert "steps for new ones first" not in capsys.readouterr().out


def test_new_encoder_without_a_vocabulary_is_one_error(corpus, tmp_path):
    with pytest.raises(BerthError, match="the vocabulary step made none"):
        pretrain_encoder(
            corpus,
            no_vocabulary(tmp_path / "vocabulary"),
            tmp_path / "encoder",
            tmp_path / "before",
            encoder="",
            new_encoder=NewEncoder.model_validate({}),
            preprocessor="",
            settings=Pretraining.model_validate(SETTINGS),
        )
    assert [own.name for own in tmp_path.iterdir()] == ["vocabulary"]


def test_full_disk_leaves_nothing_half_written(corpus, tiny, tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(TokenStore, "write", full)
    with pytest.raises(OSError, match="No space left"):
        pretrain(tmp_path, corpus, tiny)
    assert [own.name for own in tmp_path.iterdir()] == ["vocabulary"]


def test_worker_says_which_parameters_it_lacks():
    with pytest.raises(BerthError, match="a worker needs new_encoder, pretraining, require_gpu on stdin"):
        main("corpus", "vocabulary", {"encoder": "minilm", "preprocessor": ""})
