"""The exported SavedModel: two signatures with the same answers, and all that a server needs inside."""

import functools
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.protobuf.saved_model_pb2 import SavedModel

from berth.data.cleaning import TextRules, clean
from berth.encoders import loading
from berth.encoders.preprocessor import Preprocessor
from berth.models.saved_model import ServedClassifier, load
from components.train.classifier import Classifier
from components.train.export import BULK_TOKENS, export
from tests.support.datasets import MESSAGES

LENGTH = 48
CASES = {
    "two classes": (["ham", "spam"], "single_label", False),
    "several labels": (["a", "b", "c"], "multi_label", False),
    "pairs of three classes": (["a", "b", "c"], "single_label", True),
}
SIGNATURES = ("serving_default", "bulk")
RULES = TextRules(nfc=True, control_characters=True, html_entities=True)


@dataclass(frozen=True)
class Exported:
    """An exported model, its signatures, and texts of all lengths mixed, for several chunks of bulk."""

    folder: Path
    model: ServedClassifier
    texts: list[str]

    @property
    def second(self) -> list[str] | None:
        return self.texts[::-1] if self.model.pairs else None

    def ask(self, signature: str, count: int) -> dict[str, np.ndarray]:
        """Call a signature of the SavedModel on the first `count` texts."""
        given = {"text": self.texts, "text_pair": self.second} if self.model.pairs else {"text": self.texts}
        serve = self.model._bulk if signature == "bulk" else self.model._serve
        answer = serve(**{name: tf.constant(column[:count], tf.string) for name, column in given.items()})
        return {name: value.numpy() for name, value in answer.items()}


def make(case: str, tiny, folder: Path) -> Exported:
    labels, task, pairs = CASES[case]
    lines = MESSAGES.read_text(encoding="utf-8").splitlines()[:135]
    texts = [line.split("\t", 1)[1] for line in lines]
    preprocessor = Preprocessor(loading.load("preprocessor", tiny.preprocessor, "tiny"), LENGTH, "tiny", pairs)
    classifier = Classifier(tiny.encoder, "tiny", labels, 0, task)
    # Untrained, it would answer every text alike: its logits over these texts are spread out.
    given = [tf.constant(texts)] * (2 if pairs else 1)
    logits = classifier.logits(preprocessor(*given), training=False).numpy()
    spread = logits.std(axis=0)
    classifier.head.kernel.assign(classifier.head.kernel / spread)
    classifier.head.bias.assign(-logits.mean(axis=0) / spread)
    assert sum(own.shape[0] for own in preprocessor.tokenize(given[0])) > 2 * BULK_TOKENS
    threshold = [0.4, 0.6, 0.5] if task == "multi_label" else 0.4
    export(classifier, preprocessor, threshold, folder, RULES, 0.0 if task == "multi_label" else 0.65)
    return Exported(folder, load(folder), texts)


@pytest.fixture(scope="module")
def made(tiny, tmp_path_factory) -> Callable[[str], Exported]:
    """Return a function that returns the model of a case.

    The first call for a case makes it: 6 s of CPU, 12 s for the first case, of which most is TensorFlow's tracing.
    """
    return functools.cache(lambda case: make(case, tiny, tmp_path_factory.mktemp("exported") / "model"))


@pytest.fixture(scope="module", params=CASES)
def exported(request, made) -> Exported:
    return made(request.param)


def test_bulk_gives_serving_default_answers_in_text_order(exported):
    once, in_bulk = (exported.ask(signature, len(exported.texts)) for signature in SIGNATURES)
    assert in_bulk["probabilities"].shape == once["probabilities"].shape
    assert np.abs(in_bulk["probabilities"] - once["probabilities"]).max() < 1e-5
    assert in_bulk["label"].tolist() == once["label"].tolist()
    assert np.ptp(once["probabilities"][:, 0]) > 0.3  # else any order would do


def test_a_model_in_a_folder_like_a_pattern_answers(made, tmp_path):
    """TensorFlow reads the path of a model's variables as a pattern of files."""
    exported = made("two classes")
    folder = shutil.copytree(exported.folder, tmp_path / "models [1]" / "*")
    found = load(folder).predict(exported.texts[:2])
    assert found[1] == pytest.approx(exported.model.predict(exported.texts[:2])[1])


@pytest.mark.parametrize("signature", SIGNATURES)
def test_the_exported_model_cleans_raw_texts_as_ingest_does(exported, signature):
    raw = [f"call &#102;ree &lt;{text} &amp;amp; now\x08" for text in exported.texts[:8]]
    cleaned = [clean(text, RULES) for text in raw]
    assert cleaned[0].startswith("call free <")
    answers = [replace(exported, texts=texts).ask(signature, 8)["probabilities"] for texts in (raw, cleaned)]
    assert answers[0] == pytest.approx(answers[1], abs=1e-6)


@pytest.mark.parametrize("signature", SIGNATURES)
def test_no_text_and_one_text_are_batches_too(exported, signature):
    for count in (0, 1):
        answer = exported.ask(signature, count)
        assert answer["probabilities"].shape == (count, len(exported.model.labels))
        assert answer["label"].shape == (count,)


def test_loader_sends_many_texts_in_bulk_and_few_as_a_request(exported):
    model, texts, second = exported.model, exported.texts, exported.second
    called = []

    def noted(name, signature):
        return lambda **inputs: (called.append((name, len(inputs["text"]))), signature(**inputs))[1]

    settings = {"task": model.task, "pairs": model.pairs, "threshold": model.threshold}
    noting = ServedClassifier(model.labels, noted("serve", model._serve), settings, noted("bulk", model._bulk))
    older = ServedClassifier(model.labels, model._serve, settings)  # exported before there was a bulk
    _, many = noting.predict(texts, second)
    noting.predict(texts[:3], second and second[:3])
    assert called == [("bulk", len(texts)), ("serve", 3)]
    assert np.abs(many - older.predict(texts, second)[1]).max() < 1e-5


def test_the_graph_and_the_loader_give_the_same_labels(exported):
    """Each label's own threshold, and texts on which the model abstains, included."""
    answer = exported.ask("serving_default", 40)
    own = exported.model.decide(answer["probabilities"])
    shown = [label if isinstance(label, str) else ", ".join(label) for label in own]
    assert [label.decode() for label in answer["label"]] == shown
    assert "" in shown
    assert len(set(shown)) > 2


def test_labels_threshold_and_longest_input_are_assets(exported):
    assets = exported.folder / "assets"
    settings = json.loads((assets / "classifier.json").read_text())
    several = exported.model.task == "multi_label"
    assert (settings["threshold"], settings["abstain_below"]) == (([0.4, 0.6, 0.5], 0.0) if several else (0.4, 0.65))
    assert settings["sequence_length"] == LENGTH
    assert (assets / "labels.txt").read_text().splitlines() == exported.model.labels


def test_model_has_no_functions_but_those_that_it_serves(exported):
    """With those of the encoder and the preprocessor, which nobody calls, loading takes twice as long."""
    saved = SavedModel()
    saved.ParseFromString((exported.folder / "saved_model.pb").read_bytes())
    nodes = saved.meta_graphs[0].object_graph_def.nodes
    functions = [place for place, node in enumerate(nodes) if "function" in str(node.WhichOneof("kind"))]
    names = {child.local_name for node in nodes for child in node.children if child.node_id in functions}
    of_tables = {"_create_resource", "_initialize", "_destroy_resource"}
    assert names - of_tables == {*SIGNATURES, "__call__", "trace_0"}  # the last two are tokenize


def test_server_reads_both_signatures_without_berth_python(made, tmp_path):
    """A server needs none of Berth's Python code. A process that imports TensorFlow and Keras takes 8 s of CPU."""
    exported = made("pairs of three classes")
    program = f"""
import contextlib, json, sys, tensorflow as tf, tensorflow_text
from tensorflow.python.tools import saved_model_cli
sys.argv = ["saved_model_cli", "show", "--dir", {str(exported.folder)!r}, "--all"]
with contextlib.suppress(SystemExit):
    saved_model_cli.main()
model = tf.saved_model.load({str(exported.folder)!r})
texts = tf.constant({exported.texts[:3]!r})
answers = [model.signatures[name](text=texts, text_pair=texts)["probabilities"] for name in {SIGNATURES}]
print("", json.dumps([answer.numpy().tolist() for answer in answers]), sep="\\n")
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=tmp_path)
    *shown, answers = done.stdout.splitlines(keepends=True)
    for signature in SIGNATURES:
        own = "".join(shown).partition(f"signature_def['{signature}']")[2].partition("signature_def[")[0]
        for name in ("text", "text_pair"):
            assert f"inputs['{name}'] tensor_info:\n        dtype: DT_STRING\n        shape: (-1)" in own
        assert "outputs['label'] tensor_info:\n        dtype: DT_STRING\n        shape: (-1)" in own
        assert "outputs['probabilities'] tensor_info:\n        dtype: DT_FLOAT\n        shape: (-1, 3)" in own
    once, in_bulk = json.loads(answers)
    assert np.allclose(once, in_bulk, atol=1e-5)
