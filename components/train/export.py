"""Export a fine-tuned classifier as one SavedModel: text in, label and probabilities out, label vocabulary included."""

import json
import shutil
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

import tensorflow as tf

from berth.data import windows
from berth.data.cleaning import NO_RULES, TextRules
from berth.encoders.preprocessor import Preprocessor
from berth.models import integrity
from berth.models.decision_rule import Threshold, decisions_in_graph
from berth.models.saved_model import BULK, LABELS_ASSET, SERVE, SETTINGS_ASSET
from berth.settings import TRUNCATE
from components.train.classifier import Classifier
from components.train.cleaning import TextCleaning
from components.train.long_texts import vectors

BULK_TOKENS = 1024
"""Tokens, with padding, per chunk of `bulk`: few long texts or many short ones."""


def export(
    classifier: Classifier,
    preprocessor: Preprocessor,
    threshold: Threshold,
    folder: str | Path,
    rules: TextRules = NO_RULES,
    abstain_below: float = 0.0,
) -> None:
    """Write the SavedModel to `folder`, which appears only when it is complete.

    The graph cleans texts by `rules`, those of the dataset that it was trained on. Its signatures map `text`,
    string [batch], and for pairs `text_pair`, string [batch], to `label`, string [batch], and `probabilities`,
    float32 [batch, classes]. `serving_default` pads a request to its own longest text; `bulk`, for many texts,
    processes them in chunks of similar length and returns the answers in the order of the texts. For a multi-label
    task `label` is the labels joined by ", ", or empty; for others it is empty where the model
    abstains. The labels are also in assets/labels.txt; task and threshold are in assets/classifier.json.
    """
    folder = Path(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        labels_file = scratch / LABELS_ASSET
        labels_file.write_text("".join(f"{label}\n" for label in classifier.labels), encoding="utf-8")
        settings = {
            "task": classifier.task,
            "pairs": preprocessor.pairs,
            "threshold": threshold,
            "abstain_below": abstain_below,
            "sequence_length": preprocessor.sequence_length,
            "long_texts": preprocessor.long_texts,
            "cleaning": asdict(rules),
        }
        settings_file = scratch / SETTINGS_ASSET
        settings_file.write_text(json.dumps(settings) + "\n", encoding="utf-8")

        cleaning = TextCleaning(rules)

        def answer(probabilities: tf.Tensor) -> dict[str, tf.Tensor]:
            label = _decided(classifier, probabilities, threshold, abstain_below)
            return {"label": label, "probabilities": probabilities}

        def serve(*texts: tf.Tensor) -> dict[str, tf.Tensor]:
            segments = [preprocessor.tokenize(cleaning(own)) for own in texts]
            return answer(_probabilities(classifier, preprocessor, segments))

        def bulk(*texts: tf.Tensor) -> dict[str, tf.Tensor]:
            segments = [preprocessor.tokenize(cleaning(own)) for own in texts]
            return answer(_probabilities_by_length(classifier, preprocessor, segments))

        names = ("text", "text_pair") if preprocessor.pairs else ("text",)
        signature = [tf.TensorSpec([None], tf.string, name=name) for name in names]
        signatures = {
            name: tf.function(function, signature, autograph=False) for name, function in ((SERVE, serve), (BULK, bulk))
        }

        root = tf.Module()
        root.cleaning = cleaning
        root.preprocessor = tf.Module()
        root.preprocessor.tokenize = preprocessor.loaded.tokenize  # explanations tokenise words with it
        root.state = _state(preprocessor.loaded, classifier.encoder, classifier.head)
        root.labels = tf.saved_model.Asset(str(labels_file))
        root.settings = tf.saved_model.Asset(str(settings_file))
        made = scratch / "model"
        tf.saved_model.save(root, str(made), signatures=signatures)
        integrity.seal(made)
        made.rename(folder)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _state(*parts: tf.Module) -> list[Any]:
    """Return the variables, tables and files of `parts`, without their functions.

    The signatures call none of them, and a model that has them takes twice as long to load.
    """
    kinds = tf.Variable, tf.saved_model.experimental.TrackableResource, tf.saved_model.Asset
    return [own for part in parts for own in tf.train.TrackableView(part).descendants() if isinstance(own, kinds)]


def _probabilities(classifier: Classifier, preprocessor: Preprocessor, segments: list[tf.RaggedTensor]) -> tf.Tensor:
    """Return float32 [batch, classes]; the whole batch is padded to its longest text."""
    found = vectors(classifier, preprocessor, segments, training=False)
    return classifier.probabilities(classifier.logits_of(found, training=False))


def _probabilities_by_length(
    classifier: Classifier, preprocessor: Preprocessor, segments: list[tf.RaggedTensor]
) -> tf.Tensor:
    """Return float32 [batch, classes] in the order of the texts, computed in chunks of BULK_TOKENS by length."""
    lengths = tf.cast(tf.add_n([segment.row_lengths() for segment in segments]), tf.int32)
    more = 0 if preprocessor.long_texts == TRUNCATE else windows.count(lengths, preprocessor.room) - 1
    lengths = tf.minimum(lengths, preprocessor.room) + preprocessor.special_tokens + more * preprocessor.sequence_length
    order = tf.argsort(lengths, direction="DESCENDING", stable=True)
    texts = tf.size(order)
    done = tf.TensorArray(
        tf.float32, size=0, dynamic_size=True, element_shape=[None, len(classifier.labels)], infer_shape=False
    )

    def work(start: tf.Tensor, chunk: tf.Tensor, done: tf.TensorArray) -> tuple[tf.Tensor, tf.Tensor, tf.TensorArray]:
        longest = tf.reduce_max(tf.gather(lengths, order[start : start + 1]))
        end = start + tf.maximum(BULK_TOKENS // tf.maximum(longest, 1), 1)
        own = [tf.gather(segment, order[start:end]) for segment in segments]
        return end, chunk + 1, done.write(chunk, _probabilities(classifier, preprocessor, own))

    def is_left(start: tf.Tensor, chunk: tf.Tensor, done: tf.TensorArray) -> tf.Tensor:
        return (start < texts) | (chunk == 0)  # an empty batch is one empty chunk

    # One chunk at a time: each uses all cores, and only one needs memory.
    _, _, done = tf.while_loop(is_left, work, [0, 0, done], parallel_iterations=1)
    return tf.gather(done.concat(), tf.argsort(order))


def _decided(classifier: Classifier, probabilities: tf.Tensor, threshold: Threshold, abstain_below: float) -> tf.Tensor:
    """Return string [batch]: berth.models.saved_model.ServedClassifier.decide as a graph."""
    labels = tf.constant(classifier.labels)
    decided = decisions_in_graph(probabilities, classifier.task, threshold, abstain_below)
    if classifier.task == "multi_label":
        chosen = tf.ragged.boolean_mask(tf.broadcast_to(labels, tf.shape(decided)), decided)
        return tf.strings.reduce_join(chosen, -1, separator=", ")
    named = tf.gather(labels, tf.argmax(tf.cast(decided, tf.int32), -1))
    return tf.where(tf.reduce_any(decided, -1), named, "")
