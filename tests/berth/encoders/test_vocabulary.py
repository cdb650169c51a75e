"""A preprocessor whose token ids have no row in the encoder's word table is found before training."""

from types import SimpleNamespace

import pytest
import tensorflow as tf
import tensorflow_hub as hub

from berth.encoders import vocabulary
from berth.encoders.adapter import INPUTS, of_encoder
from berth.encoders.builtin import bert
from berth.encoders.loading import load
from berth.errors import BerthError
from tests.support import tiny_bert


@pytest.fixture(scope="module")
def tokens() -> int:
    return len(tiny_bert.vocabulary())


@pytest.fixture(scope="module")
def larger(tmp_path_factory) -> str:
    """A preprocessor that knows three tokens more than the tiny BERT has rows."""
    folder = tmp_path_factory.mktemp("larger")
    words = [*tiny_bert.vocabulary(), "zebra", "zinc", "zoo"]
    (folder / "vocab.txt").write_text("".join(f"{word}\n" for word in words), encoding="utf-8")
    bert.save_preprocessor(folder / "vocab.txt", folder / "preprocessor")
    return str(folder / "preprocessor")


def encoder_of(folder, rows: int, name: str):
    """Load an encoder whose word table, a variable `name`, has `rows` rows."""
    root = tf.train.Checkpoint()
    root.table = tf.Variable(tf.zeros([rows, 2]), name=name)
    root.variables = root.trainable_variables = [root.table]
    root.regularization_losses = []
    specs = {own: tf.TensorSpec([None, None], tf.int32, name=own) for own in INPUTS}
    root.__call__ = tf.function(lambda inputs: {"sequence_output": tf.gather(root.table, inputs["input_word_ids"])})
    root.__call__.get_concrete_function(specs)
    tf.saved_model.save(root, str(folder))
    return hub.load(str(folder))


def misfit(encoder, preprocessor, folder, seen=0):
    vocabulary.check_vocabulary_fits(encoder, of_encoder(encoder, "bert"), preprocessor, folder, seen)


def test_a_pair_that_belongs_together_passes_in_silence(tiny, tokens, capsys):
    encoder, preprocessor = (load("encoder", folder, "tiny") for folder in vars(tiny).values())
    assert vocabulary.size(preprocessor, tiny.preprocessor) == tokens
    assert vocabulary.rows(encoder, of_encoder(encoder, "tiny"), 0) == tokens
    misfit(encoder, preprocessor, tiny.preprocessor)
    assert capsys.readouterr().out == ""


def test_vocabulary_larger_than_the_word_table_is_refused(tiny, tokens, larger):
    """It is refused whatever tokens the texts hold."""
    encoder, preprocessor = load("encoder", tiny.encoder, "tiny"), load("preprocessor", larger, "larger")
    with pytest.raises(BerthError, match=rf"preprocessor: it knows {tokens + 3} tokens, but .* has {tokens} rows"):
        misfit(encoder, preprocessor, larger)


def test_tf_hub_preprocessor_vocabulary_size_comes_first(larger):
    """What the preprocessor itself reports wins over other sources."""
    told = SimpleNamespace(
        tokenize=SimpleNamespace(get_special_tokens_dict=lambda: {"vocab_size": tf.constant(30_522)})
    )
    assert vocabulary.size(told, larger) == 30_522


def test_token_ids_are_checked_if_vocabulary_size_is_unknown(tmp_path):
    """The ids seen in the texts are checked against the encoder's word table."""
    encoder = encoder_of(tmp_path / "encoder", 10, "word_embeddings")
    misfit(encoder, object(), tmp_path, seen=9)
    with pytest.raises(BerthError, match="it returns the token id 10, but the encoder's word table has 10 rows"):
        misfit(encoder, object(), tmp_path, seen=10)


def test_a_table_of_another_name_is_found_by_asking_the_encoder(tmp_path):
    encoder = encoder_of(tmp_path / "encoder", 10, "kernel")
    misfit(encoder, object(), tmp_path, seen=9)
    with pytest.raises(BerthError, match="it returns the token id 12, but the encoder's word table has 10 rows"):
        misfit(encoder, object(), tmp_path, seen=12)


def test_a_table_that_is_much_larger_than_the_vocabulary_is_said(tmp_path, larger, capsys):
    preprocessor = load("preprocessor", larger, "larger")
    known = vocabulary.size(preprocessor, larger)
    misfit(encoder_of(tmp_path / "rounded", known + 100, "word_embeddings"), preprocessor, larger)
    assert capsys.readouterr().out == ""
    misfit(encoder_of(tmp_path / "other", known + 2000, "word_embeddings"), preprocessor, larger)
    assert "check that they belong together" in capsys.readouterr().out
