"""Attribution to words: on a tiny BERT that has learnt to look for one word, and on models of other tasks."""

import random
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from berth.data.cleaning import TextRules
from berth.encoders import loading
from berth.encoders.preprocessor import Preprocessor
from berth.errors import BerthError
from berth.explaining import worker
from berth.explaining.attribution import Explainer
from berth.models.saved_model import load
from components.evaluate.explained import explain_mistakes, mistakes_to_explain
from components.train.classifier import Classifier
from components.train.export import export
from tests.components.evaluate.conftest import export as export_graph
from tests.support import tiny_bert

TRIGGER = "prize"
RULES = TextRules(nfc=True, control_characters=True, html_entities=True)


def planted(count: int, seed: int) -> tuple[list[str], list[int]]:
    """Return texts of 6 to 12 words, half of them with TRIGGER somewhere, and whether they have it."""
    draw = random.Random(seed)
    words = [word for word in tiny_bert.vocabulary()[-400:] if word != TRIGGER and word.isalpha()]
    texts = [draw.choices(words, k=draw.randint(6, 12)) for _ in range(count)]
    for text in texts[::2]:
        text[draw.randrange(len(text))] = TRIGGER
    return [" ".join(text) for text in texts], [1, 0] * (count // 2)


@pytest.fixture(scope="module")
def trained(tiny, tmp_path_factory) -> Path:
    """A model that calls a text spam if it has TRIGGER; 5 s to train."""
    preprocessor = Preprocessor(loading.load("preprocessor", tiny.preprocessor, "tiny"), 32, "tiny")
    classifier = Classifier(tiny.encoder, "tiny", ["ham", "spam"], 0, pooling="mean")
    optimizer = tf.keras.optimizers.Adam(2e-3)

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string), tf.TensorSpec([None], tf.int32)])
    def step(texts, targets):
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(classifier.loss(classifier.logits(preprocessor(texts), False), targets))
        optimizer.apply_gradients(zip(tape.gradient(loss, classifier.variables), classifier.variables, strict=True))
        return loss

    for seed in range(80):
        loss = step(*map(tf.constant, planted(32, seed)))
    assert loss < 0.1
    folder = tmp_path_factory.mktemp("planted") / "model"
    export(classifier, preprocessor, 0.5, folder, RULES)
    return folder


@pytest.fixture(scope="module")
def classifier(trained):
    return load(trained)


@pytest.fixture(scope="module")
def explainer(trained, classifier):
    """Loading a model to explain it takes seconds; loading it to ask it registers what its preprocessor needs."""
    made = Explainer(trained)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("berth.explaining.attribution.Explainer", lambda folder: made)
        yield made


def test_a_planted_word_comes_first_and_the_weights_sum_up(classifier, explainer):
    """In at least 95% of the texts; the sum of the weights is within 1% of the difference of the log odds."""
    texts = planted(80, 1000)[0][::2]
    found = explainer.explain(texts, None, [1] * len(texts))
    assert sum(one.words[0][0] == TRIGGER for one in found) >= 0.95 * len(texts)
    _, probabilities = classifier.predict(texts)
    odds = np.log(probabilities[:, 1]) - np.log(probabilities[:, 0])
    for text, own, one in zip(texts, odds, found, strict=True):
        assert "".join(word for word, _ in one.parts) == text
        assert one.log_odds == pytest.approx(own, rel=1e-2)
        assert abs(one.missed) <= 0.01 * abs(one.difference)
        assert one.complete


def test_words_are_as_the_user_wrote_them(explainer):
    """Cleaned texts lose entities and control characters; what the model did not see has no weight."""
    text = "Fre\x07e &amp; PRIZE,  " + "now " * 40
    (one,) = explainer.explain([text], None, [1])
    parts = [word for word, _ in one.parts]
    assert "".join(parts) == text
    assert one.words[0][0] == "PRIZE"
    assert {"Fre\x07e", "&amp;", ",", "now"} <= {word for word, _ in one.words}
    assert one.parts[-2] == ("now", None)


def test_the_worker_explains_the_label_that_it_predicts(trained, classifier, explainer):
    texts = [f"win the {TRIGGER} today", "see you later", ""]
    labels, probabilities = classifier.predict(texts)
    found = worker._explainer(str(trained), classifier)(texts, probabilities)
    assert [one["label"] for one in found] == labels
    assert found[0]["words"][0]["word"] == TRIGGER
    assert found[2] == {
        "label": "ham",
        "log_odds": pytest.approx(found[2]["without_words"]),
        "without_words": found[2]["without_words"],
        "complete": True,
        "words": [],
    }


def test_the_reports_mistakes_have_their_words(trained, classifier, explainer):
    """The mistakes of the report, in its order: here the texts whose label was turned over."""
    texts, truth = planted(12, 2000)
    rows = {"text": texts, "label": [["ham", "spam"][spam ^ (row in (3, 4))] for row, spam in enumerate(truth)]}
    _, probabilities = classifier.predict(texts)
    mistakes = mistakes_to_explain(classifier, rows, probabilities, 20)
    found = explain_mistakes(lambda: explainer, rows, mistakes)
    assert found["explained"].keys() == {3, 4}
    assert found["explained"][4]["label"] == "spam"
    assert max(found["explained"][4]["parts"], key=lambda part: part[1] or 0)[0] == TRIGGER
    assert mistakes_to_explain(classifier, rows, probabilities, 1) == mistakes[:1]


def test_pairs_and_several_classes_have_weights_that_sum_up(tiny, tmp_path):
    """Each word belongs to its own text, also where both are cut."""
    preprocessor = Preprocessor(loading.load("preprocessor", tiny.preprocessor, "tiny"), 16, "tiny", True, "head_tail")
    classifier = Classifier(tiny.encoder, "tiny", ["a", "b", "c"], 0)
    classifier.head.kernel.assign(classifier.head.kernel * 100)
    classifier.temperature = 2.0
    export(classifier, preprocessor, 0.5, tmp_path / "model")
    first, second = ["see you later", "you " * 9 + "now", ""], ["no", "call " * 9 + "me", "hello"]
    _, probabilities = load(tmp_path / "model").predict(first, second)
    found = Explainer(tmp_path / "model").explain(first, second, [2] * 3)
    for one, text, pair, row in zip(found, first, second, probabilities, strict=True):
        assert ["".join(word for word, _ in own) for own in (one.parts, one.pair_parts)] == [text, pair]
        assert one.log_odds == pytest.approx(np.log(row[2] / (1 - row[2])), abs=1e-3)
        assert one.complete
    assert found[1].parts[-1][1] is not None
    assert None in [weight for word, weight in found[1].parts if word == "you"]


def test_a_model_without_a_word_table_is_refused_in_one_line(tmp_path):
    graph = lambda text: tf.sigmoid(tf.cast(tf.strings.length(text), tf.float32)[:, None] * [[-1.0, 1.0]])  # noqa: E731
    model = export_graph(tmp_path / "plain/model", ["ham", "spam"], graph, task="multi_label")
    with pytest.raises(BerthError, match="no variable with the name of a word table, or no tokenizer"):
        Explainer(model)
    fixed = export_graph(tmp_path / "fixed/model", ["ham", "spam"], lambda text: tf.one_hot(tf.strings.length(text), 2))
    with pytest.raises(BerthError, match="its probabilities do not come from a sigmoid or a softmax"):
        Explainer(fixed)
