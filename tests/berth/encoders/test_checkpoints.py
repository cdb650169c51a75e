"""Checkpoints of Hugging Face: converted, against what transformers computes with them, and what is refused."""

import io
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_hub as hub
from safetensors.numpy import load_file, save_file

from berth.encoders import present, resolve
from berth.encoders.builtin import convert
from berth.encoders.builtin.checkpoint import name_in_cache
from berth.encoders.describe import examine
from berth.encoders.fetch import cache
from berth.encoders.wordpiece import find_vocabulary
from berth.errors import BerthError
from berth.pretraining.__main__ import main
from berth.pretraining.fill import MaskFiller
from components.pretrain.model import PretrainingModel
from components.train.classifier import Classifier
from tests.support import google_storage

CHECKPOINTS = Path(__file__).parent / "fixtures" / "checkpoints"
NAMES = ("pretraining", "plain", "masked", "classifier", "distilbert")
TOLERANCE = 1e-4


@pytest.fixture(scope="module")
def reference():
    return load_file(CHECKPOINTS / "outputs.safetensors")


@pytest.fixture(scope="module", autouse=True)
def preprocessors_made_once(tmp_path_factory):
    """Copy the preprocessor that an earlier conversion wrote for the same tokens: each takes 5 s of CPU to trace."""
    write, made = convert._write_preprocessor, {}

    def write_or_copy(tokenisation, folder, length):
        key = (tokenisation, length)
        if key in made:
            shutil.copytree(made[key], folder / "preprocessor")
            return
        write(tokenisation, folder, length)
        made[key] = shutil.copytree(folder / "preprocessor", tmp_path_factory.mktemp("made") / "preprocessor")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(convert, "_write_preprocessor", write_or_copy)
        yield


@pytest.fixture(scope="module")
def cache_of_all(tmp_path_factory) -> str:
    """A folder for the cache with the conversion of each checkpoint."""
    folder = str(tmp_path_factory.mktemp("cache"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", folder)
        for name in NAMES:
            convert.handles(CHECKPOINTS / name, name)
    return folder


@pytest.fixture
def converted(cache_of_all, monkeypatch) -> dict[str, str]:
    """The folder of the encoder of each checkpoint."""
    monkeypatch.setenv("XDG_CACHE_HOME", cache_of_all)
    return {name: convert.handles(CHECKPOINTS / name, name)[0] for name in NAMES}


@pytest.fixture
def cache_folder(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "berth"


@pytest.fixture
def copy(tmp_path):
    """Return a function that copies a checkpoint, for a test to change, and returns its folder."""

    def made(name: str, **config: object) -> Path:
        folder = Path(shutil.copytree(CHECKPOINTS / name, tmp_path / name))
        if config:
            own = json.loads((folder / "config.json").read_text(encoding="utf-8")) | config
            (folder / "config.json").write_text(json.dumps(own), encoding="utf-8")
        return folder

    return made


def inputs(reference) -> dict[str, tf.Tensor]:
    names = {"input_word_ids": "ids", "input_mask": "mask", "input_type_ids": "types"}
    return {own: tf.constant(reference[theirs]) for own, theirs in names.items()}


@pytest.mark.parametrize("name", NAMES)
def test_vectors_are_those_of_transformers(reference, converted, name):
    outputs = hub.load(converted[name])(inputs(reference), training=False)
    kept = reference["mask"].astype(bool)
    expected = reference[f"{name}/sequence_output"]
    assert np.abs(outputs["sequence_output"].numpy() - expected)[kept].max() < TOLERANCE
    assert ("pooled_output" in outputs) == (name not in ("masked", "distilbert"))
    if f"{name}/pooled_output" in reference:
        assert np.abs(outputs["pooled_output"].numpy() - reference[f"{name}/pooled_output"]).max() < TOLERANCE


@pytest.mark.parametrize("name", NAMES)
def test_heads_of_pretraining_are_those_of_transformers(reference, converted, name):
    loaded = hub.load(converted[name])
    places = tf.constant([[0, 1, 2]] * 3)
    if f"{name}/mlm_logits" not in reference:
        assert not hasattr(loaded, "mlm")
        return
    outputs = loaded.mlm(inputs(reference) | {"masked_lm_positions": places}, training=False)
    assert np.abs(outputs["mlm_logits"].numpy() - reference[f"{name}/mlm_logits"][:, :3]).max() < TOLERANCE
    assert ("nsp_logits" in outputs) == (name == "pretraining")
    if name == "pretraining":
        assert np.abs(outputs["nsp_logits"].numpy() - reference[f"{name}/nsp_logits"]).max() < TOLERANCE


def test_pretraining_goes_on_with_the_heads_of_a_checkpoint(reference, converted):
    model = PretrainingModel(converted["pretraining"], "bert", 0, nsp=True)
    assert not model.new_heads
    vectors = tf.constant(reference["pretraining/sequence_output"][:, :3].reshape(9, 16))
    words = model.heads.words(vectors, model.table).numpy().reshape(3, 3, 30)
    assert np.abs(words - reference["pretraining/mlm_logits"][:, :3]).max() < TOLERANCE


@pytest.mark.parametrize("name", ["pretraining", "distilbert"])
def test_a_converted_encoder_is_fine_tuned(converted, name):
    classifier = Classifier(converted[name], name, ["ham", "spam"], 0)
    classifier.check_trainable(name)
    assert classifier.accepts(20)
    assert not classifier.accepts(21)
    with tf.GradientTape() as tape:
        ones = {key: tf.ones([2, 4], tf.int32) for key in ("input_word_ids", "input_mask", "input_type_ids")}
        loss = tf.reduce_sum(classifier.logits(ones, training=True))
    assert all(gradient is not None for gradient in tape.gradient(loss, classifier.variables))


def test_a_folder_is_converted_once_by_its_content(copy, cache_folder, capsys, monkeypatch):
    folder = copy("masked")
    before = present.fingerprint(str(folder), "")
    monkeypatch.setattr("sys.stdin", io.StringIO('"a [MASK] b"\n'))
    main(str(folder), 2)  # as `berth fill` calls it, which reads answers alone from stdout
    printed = capsys.readouterr()
    assert [len(place) for place in json.loads(printed.out)] == [2]
    assert printed.err.count("converting") == 1
    first = resolve.resolve(str(folder), "")
    (folder / "README.md").write_text("Words change nothing.", encoding="utf-8")
    moved = folder.rename(folder.with_name("moved"))
    assert resolve.resolve(str(moved), "") == first
    assert present.fingerprint(str(folder.parent / "moved"), "") != before  # another handle
    assert "converting" not in capsys.readouterr().out
    (entry,) = cache.entries()
    assert entry.name == name_in_cache(moved, "other")
    assert "has the heads of pre-training (part mlm)" in entry.models[0].words
    before = present.fingerprint(str(moved), "")
    (moved / "tokenizer_config.json").write_text('{"do_lower_case": false}', encoding="utf-8")
    assert present.fingerprint(str(moved), "") != before
    assert name_in_cache(moved) != entry.name


def test_a_checkpoint_in_a_bucket_is_fetched_and_converted(cache_folder, monkeypatch):
    with google_storage.bucket("models", monkeypatch) as objects:
        for path in (CHECKPOINTS / "distilbert").iterdir():
            objects[f"bert/{path.name}"] = path.read_bytes()
        encoder, preprocessor = resolve.resolve("gs://models/bert", "")
    (entry,) = cache.entries()
    assert sorted(path.name for path in (cache_folder / entry.name).iterdir()) == [
        "encoder",
        "entry.json",
        "preprocessor",
    ]
    assert [model.kind for model in entry.models] == ["encoder", "preprocessor"]
    assert encoder == str(cache_folder / entry.name / "encoder")
    assert preprocessor == str(cache_folder / entry.name / "preprocessor")


def test_words_are_filled_in_by_a_checkpoint(converted):
    found = MaskFiller(str(CHECKPOINTS / "masked")).fill("a [MASK] b", count=3)
    assert len(found[0]) == 3
    with pytest.raises(BerthError, match="has no part mlm"):
        MaskFiller(str(CHECKPOINTS / "plain"))


def test_tokens_are_counted_by_the_checkpoints_vocabulary():
    found = find_vocabulary(str(CHECKPOINTS / "plain"), "")
    assert found is not None
    assert found.pieces[:6] == ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a"]


def test_a_vocabulary_in_tokenizer_json_alone_is_read(copy):
    """As transformers 5 saves it."""
    folder = copy("plain")
    pieces = (folder / "vocab.txt").read_text(encoding="utf-8").split()
    whole = {
        "model": {"type": "WordPiece", "vocab": {piece: number for number, piece in enumerate(pieces)}},
        "normalizer": {"lowercase": False, "strip_accents": None},
    }
    (folder / "tokenizer.json").write_text(json.dumps(whole), encoding="utf-8")
    (folder / "vocab.txt").unlink()
    (folder / "tokenizer_config.json").unlink()
    found = convert.tokenisation_of(folder)
    assert list(found.pieces) == pieces
    assert (found.lower, found.strip_accents) == (False, False)


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"model_type": "roberta"}, "its model_type is 'roberta', and only bert and distilbert can be converted"),
        ({"model_type": "modernbert"}, "its model_type is 'modernbert'"),
        ({"position_embedding_type": "relative_key"}, "position_embedding_type: relative_key"),
        ({"is_decoder": True}, "is_decoder: True"),
        ({"hidden_act": "mish"}, "hidden_act: mish, which is not one of gelu"),
        ({"num_attention_heads": 3}, "a hidden size of 16 for 3 heads"),
        ({"num_hidden_layers": "2"}, "num_hidden_layers: 2, which cannot be"),
        ({"vocab_size": 29}, "its vocabulary has 30 tokens, its config.json only 29"),
        ({"num_hidden_layers": 1}, "tensors that its config.json does not account for: encoder.layer.1."),
        ({"num_hidden_layers": 3}, "it lacks tensors that its config.json asks for: encoder.layer.2."),
        ({"intermediate_size": 25}, r"intermediate.dense.weight is of shape \[24, 16\], not \[25, 16\]"),
    ],
)
def test_a_config_that_does_not_fit_is_one_line(copy, cache_folder, config, words):
    folder = copy("pretraining", **config)
    with pytest.raises(BerthError, match=words) as refused:
        resolve.resolve(str(folder), "")
    assert str(refused.value).startswith(f"encoder: {str(folder)!r} cannot be converted: it")
    assert cache.entries() == []


def _cut(folder):
    whole = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(whole[: len(whole) // 2])


def _pickle(folder):
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")


def _without_vocabulary(folder):
    (folder / "vocab.txt").unlink()


def _without_case(folder):
    (folder / "tokenizer_config.json").unlink()
    (folder / "vocab.txt").write_text("[UNK]\n[CLS]\n[SEP]\nBerlin\n", encoding="utf-8")


def _japanese(folder):
    (folder / "tokenizer_config.json").write_text('{"tokenizer_class": "BertJapaneseTokenizer"}', encoding="utf-8")


def _added(folder):
    added = {"30": {"content": "<url>", "special": True}}
    (folder / "tokenizer_config.json").write_text(json.dumps({"added_tokens_decoder": added}), encoding="utf-8")


def _not_finite(folder):
    own = load_file(folder / "model.safetensors")
    own["cls.predictions.bias"][3] = np.nan
    save_file(own, folder / "model.safetensors")


def _whole_numbers(folder):
    own = load_file(folder / "model.safetensors")
    save_file(own | {"bert.pooler.dense.bias": np.zeros(16, np.int8)}, folder / "model.safetensors")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (_cut, "its model.safetensors is damaged or cut short"),
        (_pickle, r"its weights in pytorch_model.bin alone. Save it as model.safetensors: .*save_pretrained\(FOLDER\)"),
        (_without_vocabulary, "it has neither vocab.txt nor a tokenizer.json of a WordPiece model"),
        (_without_case, "no tokenizer_config.json states whether texts keep theirs"),
        (_japanese, "its tokenizer_class is BertJapaneseTokenizer"),
        (_added, "the added token '<url>'"),
        (_not_finite, "its tensor cls.predictions.bias has values that are not finite"),
        (_whole_numbers, "its tensor bert.pooler.dense.bias holds int8"),
    ],
)
def test_files_that_are_not_whole_are_one_line(copy, cache_folder, change, words):
    folder = copy("pretraining")
    change(folder)
    with pytest.raises(BerthError, match=words):
        resolve.resolve(str(folder), "")
    assert cache.entries() == []


def test_a_shard_that_is_missing_is_named(copy, cache_folder):
    folder = copy("plain")
    (folder / "model-00002-of-00003.safetensors").unlink()
    with pytest.raises(BerthError, match=r"it lacks model-00002-of-00003.safetensors, which its model.safetensors"):
        resolve.resolve(str(folder), "")


def test_what_cannot_be_converted_is_found_first(copy):
    """By the step locate, which fingerprints the encoder, before any data is read."""
    with pytest.raises(BerthError, match="its model_type is 'roberta'"):
        present.fingerprint(str(copy("plain", model_type="roberta")), "")


def test_old_names_of_layer_norms_and_half_precision_are_read(copy):
    folder = copy("masked")
    own = load_file(folder / "model.safetensors")
    renamed = {
        name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta"): value
        for name, value in own.items()
    }
    save_file({name: value.astype(np.float16) for name, value in renamed.items()}, folder / "model.safetensors")
    kind, shape = convert.shape_of(folder)
    found = convert.tensors.load(folder, kind, shape)
    assert found.weights["embeddings.LayerNorm.weight"].dtype == np.float32
    assert np.abs(found.weights["embeddings.LayerNorm.weight"] - own["bert.embeddings.LayerNorm.weight"]).max() < 1e-2
    assert found.heads


def test_a_pooling_that_is_not_known_is_one_line(copy, cache_folder):
    folder = copy("plain")
    (folder / "1_Pooling").mkdir()
    (folder / "1_Pooling" / "config.json").write_text("{}", encoding="utf-8")
    with pytest.raises(BerthError, match=r"its 1_Pooling/config\.json names none of the poolings cls, "):
        present.fingerprint(str(folder), "")


def test_the_pooling_of_sentence_transformers_is_taken(copy, cache_folder, converted):
    folder = copy("plain")
    (folder / "1_Pooling").mkdir()
    (folder / "1_Pooling" / "config.json").write_text('{"pooling_mode_mean_tokens": true}', encoding="utf-8")
    encoder, _ = convert.handles(folder, "own")
    assert "; pooling auto takes mean" in " ".join(examine("encoder", encoder, "own").words)
    assert "; pooling auto takes pooled_output" in " ".join(examine("encoder", converted["plain"], "plain").words)
