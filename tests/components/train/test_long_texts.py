"""Texts longer than sequence_length, read in windows: in training, in the exported model, and where they cannot be."""

import random
import resource

import numpy as np
import pytest
import tensorflow as tf

from berth.data.token_ids import TokenisedSplit
from berth.encoders import loading
from berth.encoders.preprocessor import Preprocessor, tokenize_all
from berth.errors import BerthError
from berth.explaining.attribution import Explainer
from berth.models.saved_model import load
from berth.training.recipe import Recipe
from components.train import long_texts
from components.train.classifier import Classifier
from components.train.export import export
from components.train.step import train_model
from tests.support import tiny_bert
from tests.support.datasets import MESSAGES, write_dataset

LENGTH = 32
LABELS = ["ham", "spam"]
WORDS = [word for word in tiny_bert.vocabulary()[-400:] if word.isalpha() and word not in ("prize", "home")]
EXPORTED = ("truncate", "windows")


def planted(count: int, words: int, seed: int) -> list[tuple[str, str]]:
    """Return texts of so many words with their labels; a sentence near the end decides."""
    draw = random.Random(seed)
    rows = []
    for number in range(count):
        text = draw.choices(WORDS, k=words)
        text[max(0, words - 5) :] = ["prize" if number % 2 else "home"] * 4
        rows.append((" ".join(text), LABELS[number % 2]))
    return rows


def train(folder, tiny, rows, **changes):
    train_rows, validation = rows[: -len(rows) // 4], rows[-len(rows) // 4 :]
    split = {"train": train_rows, "validation": validation, "test": validation}
    options = {"sequence_length": LENGTH, "pooling": "mean", "recipe": Recipe("berth", 8, 16, 5e-3, 0.1, 0.01, 0)}
    return train_model(
        write_dataset(folder / "dataset", split, LABELS),
        folder / "model",
        folder / "predictions",
        encoder=tiny.encoder,
        preprocessor=tiny.preprocessor,
        threshold_metric="none",
        log_metrics=lambda *_: None,
        **options | changes,
    )


@pytest.fixture(scope="module")
def classifier(tiny):
    return Classifier(tiny.encoder, "tiny", LABELS, 0, pooling="mean")


@pytest.fixture(scope="module")
def models(tiny, classifier, tmp_path_factory):
    """The same untrained weights, exported with each value of long_texts."""
    classifier.head.kernel.assign(tf.random.stateless_normal(classifier.head.kernel.shape, [1, 2]) * 5)
    folder = tmp_path_factory.mktemp("long")
    for name in EXPORTED:
        export(classifier, preprocessor(tiny, name), 0.5, folder / name)
    return {name: load(folder / name) for name in EXPORTED} | {"folder": folder}


def preprocessor(tiny, name) -> Preprocessor:
    loaded = loading.load("preprocessor", tiny.preprocessor, "tiny")
    return Preprocessor(loaded, LENGTH, "tiny", long_texts=name)


@pytest.mark.parametrize(
    ("long_texts", "recipe"),
    [
        ("windows", Recipe("frozen", 0, 0, 0.0, 0.1, 0.01, 0)),
        ("windows_max", Recipe("berth", 8, 8, 5e-3, 0.1, 0.01, 0)),
        ("windows_max", Recipe("contrast", 2, 8, 1e-3, 0.1, 0.01, 0)),
    ],
    ids=["frozen", "berth", "contrast"],
)
def test_windows_find_what_truncation_cuts_off(long_texts, recipe, tiny, tmp_path):
    """The deciding words are past sequence_length. The exported model answers as in training.

    Either recipe takes 8 to 14 s of CPU, of which most is TensorFlow's tracing.
    """
    rows = planted(96, 60, 0)
    cut = preprocessor(tiny, "truncate").tokenize(tf.constant([text for text, _ in rows]))
    deciding = preprocessor(tiny, "windows").tokenize(tf.constant(["prize", "home"]))
    assert not np.isin(deciding.values, cut.values).any()
    training = train(tmp_path, tiny, rows, long_texts=long_texts, recipe=recipe)
    assert training.outcome.metrics["val_accuracy"] >= 0.9
    labels, _ = load(tmp_path / "model").predict([text for text, _ in rows[-24:]])
    right = np.mean([own == label for own, (_, label) in zip(labels, rows[-24:], strict=True)])
    assert right == pytest.approx(training.outcome.metrics["val_accuracy"])


@pytest.mark.parametrize("signature", ["_serve", "_bulk"])
def test_short_texts_are_bit_equal_to_truncation(models, signature):
    texts = [line.split("\t", 1)[1] for line in MESSAGES.read_text(encoding="utf-8").splitlines()]
    texts = [text for text in texts if len(text) < LENGTH]
    asked = tf.constant(["", *texts[:100]])
    given, expected = (getattr(models[own], signature)(text=asked)["probabilities"] for own in EXPORTED)
    assert (given.numpy() == expected.numpy()).all()


@pytest.mark.parametrize(("words", "expected"), [(12, "truncate"), (60, "windows")])
def test_short_texts_train_exactly_as_with_truncation(words, expected, tiny):
    own = preprocessor(tiny, "windows")
    tokens, _ = tokenize_all(own, [text for text, _ in planted(8, words, 0)])
    split = TokenisedSplit(tokens, np.zeros(8, np.int32))
    assert long_texts.needed(own, own.widths(split)).long_texts == expected


def test_long_text_is_pooled_from_its_windows(models, classifier, tiny):
    """Both signatures give what its windows give, each encoded as a text of its own."""
    texts = [planted(1, words, words)[0][0] for words in (400, 3, 70, 31)]
    own = preprocessor(tiny, "windows")
    expected = []
    for text in texts:
        (tokens,) = own.tokenize(tf.constant([text])).to_list()
        starts = [0] if len(tokens) <= own.room else range(0, len(tokens) - own.room + 23, 23)
        pieces = [tokens[min(start, max(0, len(tokens) - own.room)) :][: own.room] for start in starts]
        vectors = [classifier.vectors(own.pack([tf.ragged.constant([piece])]), False).numpy()[0] for piece in pieces]
        pooled = np.mean(vectors, 0, keepdims=True)
        expected.append(classifier.probabilities(classifier.logits_of(pooled, False)).numpy()[0])
    for signature in ("_serve", "_bulk"):
        for count in (4, 1, 0):
            found = getattr(models["windows"], signature)(text=tf.constant(texts[:count], tf.string))["probabilities"]
            assert found.numpy() == pytest.approx(np.array(expected[:count]).reshape(count, 2), abs=1e-5)


def test_memory_of_many_texts_of_10_000_words_is_bounded(models):
    """20 of them have 9,000 windows of 32 tokens, whose attention alone would take 74 MB in each of ten tensors."""
    text = " ".join(random.Random(0).choices(WORDS, k=10_000))
    models["windows"].predict([text] * 2)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    models["windows"].predict([text] * 20)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000  # kB


def test_gradients_of_a_text_of_many_windows_are_of_a_sample(classifier, tiny, monkeypatch):
    """Their expectation is the gradient of all windows, and the vector is of all windows, whatever is drawn."""
    monkeypatch.setattr("components.train.classifier.DROPOUT", 0.0)
    own = preprocessor(tiny, "windows")
    segments = [own.tokenize(tf.constant([planted(1, 300, 0)[0][0]]))]
    variable = classifier.variables[-3]

    def gradient(most):
        monkeypatch.setattr(long_texts, "TRAINED_TOKENS", most)
        with tf.GradientTape() as tape:
            found = long_texts.vectors(classifier, own, segments, training=True)
            loss = tf.reduce_sum(found[:, :3])
        return found, tape.gradient(loss, variable)

    (_, whole), drawn = gradient(1 << 20), []
    for seed in range(30):
        classifier.seeds.set(seed, 0)
        drawn.append(gradient(4 * LENGTH)[1])
    assert np.abs(np.mean(drawn, 0) - whole).max() < 0.5 * np.abs(whole).max()
    assert not np.allclose(drawn[0], drawn[1])


def test_batch_of_long_texts_is_differentiated_in_parts():
    widths = np.array([30, 512, 5120, 20480, 512])
    rows = np.arange(5)
    assert [part.tolist() for part in long_texts.parts(rows, widths, 512)] == [[0, 1, 2], [3], [4]]
    assert [part.tolist() for part in long_texts.parts(rows[:2], widths, 512)] == [[0, 1]]  # as without windows


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ((True, False, "head"), "is for single texts"),
        ((False, True, "head"), "takes texts of any length"),
        ((False, False, "tail"), "training.truncate has no use"),
    ],
)
def test_windows_are_refused_where_they_cannot_be(given, said):
    long_texts.check_long_texts("truncate", *given)
    with pytest.raises(BerthError, match=said):
        long_texts.check_long_texts("windows", *given)


def test_words_behind_an_answer_of_windows_are_refused(models):
    with pytest.raises(BerthError, match="trained with long_texts: windows, which reads a text in parts"):
        Explainer(models["folder"] / "windows")
