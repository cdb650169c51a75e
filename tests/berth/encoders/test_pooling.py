"""Encoders of every variant of the TF-Hub text API: what they take, what they give, and how it becomes one vector."""

import json

import numpy as np
import pytest
import tensorflow as tf

from berth.encoders.adapter import INPUTS, standard_inputs
from berth.encoders.builtin.checkpoint import pooling_of
from berth.encoders.pooling import pool
from berth.errors import BerthError
from components.train.classifier import Classifier

HIDDEN = 4
IDS = tf.constant([[2, 5, 3, 0], [2, 7, 8, 3]])
INPUT = {"input_word_ids": IDS, "input_mask": tf.cast(IDS > 0, tf.int32), "input_type_ids": tf.zeros_like(IDS)}


def save(folder, names, *, as_list=False, dtype=tf.int32, length=None, outputs=("sequence_output", "pooled_output")):
    """Save an encoder, an embedding with dropout, that takes `names` and gives `outputs`: names, or `a tuple`."""
    root = tf.train.Checkpoint()
    root.table = tf.Variable(tf.random.stateless_normal([10, HIDDEN], [1, 2]), name="word_embeddings")
    root.variables = root.trainable_variables = [root.table, tf.Variable(1.0, name="out_of_reach")]
    root.regularization_losses = []

    @tf.function
    def encode(inputs, training=False):
        own = dict(zip(names, inputs, strict=True)) if as_list else inputs
        sequence = tf.gather(root.table, own[names[0]])
        sequence = tf.nn.dropout(sequence, 0.5) if training else sequence
        given = {"sequence_output": sequence, "pooled_output": tf.tanh(sequence[:, 0])}
        given |= {"default": given["pooled_output"], "last_hidden_state": sequence, "logits": sequence[:, :, 0]}
        if outputs == "a tuple":
            return given["pooled_output"], given["sequence_output"]
        return {name: given[name] for name in outputs}

    specs = [tf.TensorSpec([None, length], dtype, name=name) for name in names]
    for training in (False, True):
        encode.get_concrete_function(specs if as_list else dict(zip(names, specs, strict=True)), training=training)
    root.__call__ = encode
    tf.saved_model.save(root, str(folder))
    return str(folder)


def classifier(folder, pooling="auto"):
    return Classifier(folder, "bert", ["ham", "spam"], 0, pooling=pooling)


VARIANTS = {
    "three inputs": {"names": INPUTS},
    "two inputs": {"names": INPUTS[:2]},
    "two inputs without a pooled output": {"names": INPUTS[:2], "outputs": ("sequence_output",)},
    "the older output name": {"names": INPUTS, "outputs": ("default", "sequence_output")},
    "a list of inputs and a pair of outputs": {"names": INPUTS, "as_list": True, "outputs": "a tuple"},
    "names of other exporters": {
        "names": ("input_ids", "attention_mask", "token_type_ids"),
        "outputs": ["last_hidden_state"],
    },
    "ids of 64 bits": {"names": INPUTS, "dtype": tf.int64},
}


@pytest.mark.parametrize("variant", VARIANTS)
def test_every_text_api_variant_is_trained_with_its_dropout(tmp_path, variant, monkeypatch):
    monkeypatch.setattr("components.train.classifier.DROPOUT", 0.0)  # the head's own
    model = classifier(save(tmp_path / "encoder", **VARIANTS[variant]))
    quiet = [model.logits(INPUT, training=False).numpy() for _ in range(2)]
    loud = []
    for step in range(2):
        model.seeds.set(step, 0)
        loud.append(model.logits(INPUT, training=True).numpy())
    assert np.array_equal(*quiet)
    assert not np.array_equal(*loud)
    assert not np.array_equal(loud[0], quiet[0])
    assert [own.shape.rank for own in model.variables] == [2, 2, 1]  # the table, the head's kernel and bias
    first = model.variables[0].numpy()[[2, 2]]
    plain = "without a pooled" in variant or "other exporters" in variant
    expected = (first if plain else np.tanh(first)) @ model.head.kernel.numpy()
    assert np.allclose(quiet[0], expected, atol=1e-6)


def test_cls_is_the_first_token_and_mean_leaves_padding_out():
    sequence = tf.reshape(tf.range(2 * 4 * 2, dtype=tf.float32), [2, 4, 2])
    outputs = {"sequence_output": sequence, "pooled_output": tf.zeros([2, 2])}
    assert np.array_equal(pool(outputs, INPUT["input_mask"], "cls"), sequence[:, 0])
    mean = pool(outputs, INPUT["input_mask"], "mean").numpy()
    assert np.allclose(mean, [sequence[0, :3].numpy().mean(0), sequence[1].numpy().mean(0)])
    assert np.array_equal(pool(outputs, INPUT["input_mask"], "auto"), outputs["pooled_output"])
    assert np.isfinite(pool(outputs, tf.zeros([2, 4], tf.int32), "mean")).all()


@pytest.mark.parametrize(
    ("made", "pooling", "words"),
    [
        (
            {"names": INPUTS, "outputs": ["sequence_output"]},
            "pooled_output",
            "pooling: pooled_output needs .* cls or mean",
        ),
        ({"names": INPUTS, "outputs": ["pooled_output"]}, "mean", "pooling: mean needs the encoder's sequence_output"),
        ({"names": INPUTS, "outputs": ["logits"]}, "auto", "it returns logits, but neither pooled_output nor"),
        ({"names": ("tokens", "mask")}, "auto", "'bert' takes mask, tokens, not input_word_ids"),
        ({"names": INPUTS, "length": 128}, "auto", "takes texts of exactly 128 tokens"),
    ],
)
def test_an_encoder_that_does_not_fit_is_refused_in_words(tmp_path, made, pooling, words):
    with pytest.raises(BerthError, match=words):
        classifier(save(tmp_path / "encoder", **made), pooling)


def test_a_module_of_tf1_hub_is_refused(tmp_path):
    root = tf.Module()
    function = tf.function(lambda tokens: {"pooled_output": tf.cast(tokens, tf.float32)})
    specification = tf.TensorSpec([None, None], tf.int32, name="input_ids")
    tf.saved_model.save(root, str(tmp_path), signatures={"tokens": function.get_concrete_function(specification)})
    with pytest.raises(BerthError, match=r"has signatures alone, as TF1 Hub modules have.* Name a TF2 text encoder"):
        classifier(str(tmp_path))


def test_a_preprocessor_s_outputs_get_the_names_of_the_text_api():
    given = {"input_ids": 1, "attention_mask": 2, "segment_ids": 3}
    assert standard_inputs(given) == dict(zip(INPUTS, (1, 2, 3), strict=True))


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({"pooling_mode_cls_token": False, "pooling_mode_mean_tokens": True}, "mean"),
        ({"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": False, "include_prompt": True}, "cls"),
        ({"pooling_mode_max_tokens": True}, "mean"),
        ({"embedding_dimension": 32, "pooling_mode": "cls"}, "cls"),
        ({"pooling_mode": ["cls"]}, "cls"),
        ({"pooling_mode": "mean", "include_prompt": True}, "mean"),
        (None, ""),
    ],
)
def test_the_pooling_of_sentence_transformers_is_read(tmp_path, config, expected):
    if config:
        (tmp_path / "1_Pooling").mkdir()
        (tmp_path / "1_Pooling" / "config.json").write_text(json.dumps(config), encoding="utf-8")
    assert pooling_of(tmp_path) == expected
