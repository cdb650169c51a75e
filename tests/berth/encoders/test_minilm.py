"""The built-in encoder against the original weights, run by the original implementation (fixtures/README.md)."""

import json
import multiprocessing
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_hub as hub

from berth.encoders.builtin import minilm

REFERENCE = json.loads((Path(__file__).parent / "fixtures/minilm_reference.json").read_text(encoding="utf-8"))


@dataclass(frozen=True)
class Converted:
    """The cache folder of two runs that converted minilm at once, and the handles that each got."""

    cache: Path
    first: tuple[str, str]
    second: tuple[str, str]


@pytest.fixture(scope="module")
def converted(tmp_path_factory) -> Converted:
    """Convert here, not taken from an earlier run's cache. Two processes that import TensorFlow take 20 s of CPU."""
    cache = tmp_path_factory.mktemp("cache")
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        return Converted(cache, *pool.map(_convert, [str(cache)] * 2))


@pytest.fixture(scope="module")
def handles(converted) -> tuple[str, str]:
    """The encoder and the preprocessor."""
    return converted.first


@pytest.fixture(scope="module")
def preprocessor(handles):
    return hub.load(handles[1])


def pack(preprocessor, texts, length):
    return preprocessor.bert_pack_inputs([preprocessor.tokenize(tf.constant(texts))], seq_length=length)


def test_token_ids_are_those_of_the_original_tokenizer(preprocessor):
    length = len(REFERENCE["input_ids"][0])
    packed = pack(preprocessor, REFERENCE["texts"], length)
    assert packed["input_word_ids"].numpy().tolist() == REFERENCE["input_ids"]
    assert packed["input_mask"].numpy().tolist() == REFERENCE["attention_mask"]
    assert not packed["input_type_ids"].numpy().any()


def test_outputs_are_those_of_the_original_weights(handles):
    encoder = hub.KerasLayer(handles[0], trainable=True)
    ids, mask = (tf.constant(REFERENCE[name], tf.int32) for name in ("input_ids", "attention_mask"))
    outputs = encoder({"input_word_ids": ids, "input_mask": mask, "input_type_ids": tf.zeros_like(ids)}, training=False)
    kept = mask.numpy().astype(bool)
    for name, rows in (("sequence_output", kept), ("pooled_output", slice(None))):
        ours = outputs[name].numpy()[..., REFERENCE["dimensions"]][rows]
        assert np.abs(ours - np.array(REFERENCE[name])[rows]).max() < 1e-4
    assert len(outputs["encoder_outputs"]) == 6
    assert outputs["sequence_output"].shape[-1] == 384


def test_padding_changes_nothing(handles, preprocessor):
    encoder = hub.KerasLayer(handles[0])
    short, long = (encoder(dict(pack(preprocessor, ["hello there"], length)))["pooled_output"] for length in (8, 64))
    assert np.abs(short - long).max() < 1e-5


def test_dropout_is_active_in_training_alone(handles, preprocessor):
    encoder = hub.KerasLayer(handles[0], trainable=True)
    inputs = dict(pack(preprocessor, ["hello there"], 8))
    first, second = (encoder(inputs, training=True)["pooled_output"] for _ in range(2))
    assert np.abs(first - second).max() > 1e-3
    quiet = [encoder(inputs, training=False)["pooled_output"] for _ in range(2)]
    assert np.array_equal(*quiet)


def test_preprocessor_call_gives_128_tokens_like_tf_hub(preprocessor):
    assert preprocessor(tf.constant(["hello"]))["input_word_ids"].shape == (1, 128)


def test_two_segments_are_packed_with_types_0_and_1(preprocessor):
    first, second = (preprocessor.tokenize(tf.constant([text])) for text in ("hello", "there you"))
    packed = preprocessor.bert_pack_inputs([first, second], seq_length=8)
    assert packed["input_type_ids"].numpy().tolist() == [[0, 0, 0, 1, 1, 1, 0, 0]]


def _convert(cache):
    import os

    os.environ["XDG_CACHE_HOME"] = cache
    return minilm.handles()


def test_two_runs_that_convert_at_once_both_end_well(converted):
    assert converted.first == converted.second
    visible = [path.name for path in (converted.cache / "berth").iterdir() if not path.name.startswith(".")]
    assert [name[:7] for name in visible] == ["minilm-"]
