"""Modules that take texts, such as NNLM and USE: a lookup of hashed and of listed words, in training and in serving."""

import numpy as np
import pytest
import tensorflow as tf

from berth.encoders import resolve
from berth.encoders.describe import examine
from berth.errors import BerthError
from berth.models.saved_model import load
from berth.training.recipe import Recipe
from berth.training.settings import Training
from components.train.step import train_model
from tests.support.datasets import write_dataset

WORDS = ["call", "you", "to", "the", "and", "now", "free", "home"]
_BUCKETS, _SIZE = 8, 16


class Lookup(tf.Module):
    """As NNLM: words of a file have a vector, others share a few by their hash; a text's is the sum over root n."""

    def __init__(self, file, trainable: bool) -> None:
        super().__init__()
        self.file = tf.saved_model.Asset(str(file))
        kinds = tf.lookup.TextFileIndex.WHOLE_LINE, tf.lookup.TextFileIndex.LINE_NUMBER
        source = tf.lookup.TextFileInitializer(self.file, tf.string, kinds[0], tf.int64, kinds[1])
        self.known = tf.lookup.StaticVocabularyTable(source, _BUCKETS)
        values = np.random.default_rng(0).normal(0, 0.3, (len(WORDS) + _BUCKETS, _SIZE)).astype(np.float32)
        self.table = tf.Variable(values, name="embeddings", trainable=trainable)

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string)])
    def __call__(self, texts):
        words = tf.strings.split(tf.strings.regex_replace(tf.strings.lower(texts), r"[^a-z ]", ""))
        words, _ = tf.sparse.fill_empty_rows(words.to_sparse(), "")
        ids = self.known[words.values]
        vectors = tf.gather(self.table, ids)
        rows = words.indices[:, 0]
        return tf.math.unsorted_segment_sqrt_n(vectors, rows, tf.shape(texts)[0])


class Hashed(tf.Module):
    """The same by TensorFlow's sparse segments alone, which have a fixed result for each text."""

    def __init__(self) -> None:
        super().__init__()
        values = np.random.default_rng(1).normal(0, 0.3, (_BUCKETS * 8, _SIZE)).astype(np.float32)
        self.table = tf.Variable(values, name="embeddings", trainable=False)

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string)])
    def __call__(self, texts):
        words = tf.raw_ops.StringSplit(input=texts, delimiter=" ", skip_empty=False)
        ids = tf.strings.to_hash_bucket_fast(words.values, _BUCKETS * 8)
        rows = tf.cast(words.indices[:, 0], tf.int32)
        places = tf.range(tf.size(ids))
        vectors = tf.gather(self.table, ids)
        return tf.raw_ops.SparseSegmentSqrtNWithNumSegments(
            data=vectors, indices=places, segment_ids=rows, num_segments=tf.shape(texts)[0]
        )


@pytest.fixture(scope="module")
def modules(tmp_path_factory) -> dict[str, str]:
    """The folders of a module that is trainable, one that is not, and a hashed one."""
    folder = tmp_path_factory.mktemp("modules")
    (folder / "words.txt").write_text("".join(f"{word}\n" for word in WORDS), encoding="utf-8")
    made = {
        "trainable": Lookup(folder / "words.txt", trainable=True),
        "fixed": Lookup(folder / "words.txt", trainable=False),
        "hashed": Hashed(),
    }
    for name, module in made.items():
        tf.saved_model.save(module, str(folder / name))
    return {name: str(folder / name) for name in made}


@pytest.fixture(scope="module")
def words(tmp_path_factory):
    """A dataset where one word is the class, and its test rows."""
    rng = np.random.default_rng(0)
    rows = [
        (" ".join([*rng.choice(WORDS[:6], 4), "free" if n % 2 else "home", "é😀"]), "spam" if n % 2 else "ham")
        for n in range(240)
    ]
    split = {"train": rows[:160], "validation": rows[160:200], "test": rows[200:]}
    return write_dataset(tmp_path_factory.mktemp("words") / "dataset", split, ["ham", "spam"]), rows[200:]


@pytest.mark.parametrize(
    ("module", "recipe", "said"),
    [
        ("trainable", "berth", ""),
        ("trainable", "contrast", ""),
        ("fixed", "auto", "recipe frozen: the encoder has no variable that fine-tuning could change"),
        ("hashed", "frozen", ""),
    ],
)
def test_a_module_of_texts_is_trained_and_served(modules, words, tmp_path, capsys, module, recipe, said):
    dataset, rows = words
    training = Training(precision="float32")
    trained = train_model(
        dataset,
        tmp_path / "model",
        tmp_path / "predictions.parquet",
        encoder=modules[module],
        preprocessor="",
        sequence_length=0,
        recipe=Recipe(recipe, 8, 16, 1e-2 if module == "trainable" else 0.0, 0.1, 0.01, 0, training),
        threshold_metric="macro_f1",
        log_metrics=lambda *_: None,
    )
    assert said in capsys.readouterr().out
    assert trained.outcome.metrics["val_accuracy"] > 0.95
    texts = [text for text, _ in rows]
    labels, probabilities = load(tmp_path / "model").predict([*texts, ""])
    assert np.mean([own == label for own, (_, label) in zip(labels, rows, strict=False)]) > 0.95
    (alone,) = load(tmp_path / "model").predict(texts[:1])[1]
    assert np.abs(alone - probabilities[0]).max() < 1e-5


def test_a_module_of_texts_is_described(modules):
    found = examine("encoder", modules["trainable"], "nnlm")
    assert found.words[:2] == ["encoder", "takes texts"]
    assert resolve.resolve(modules["trainable"], "none") == (modules["trainable"], "")


def test_an_encoder_of_tokens_needs_its_preprocessor(tiny):
    for none in ("", "none"):
        with pytest.raises(BerthError, match="preprocessor: name the TF-Hub preprocessor"):
            resolve.resolve(tiny.encoder, none)
