"""Export a fine-tuned classifier as one SavedModel: strings in, label and probabilities out, labels inside."""

import json
import shutil
import tempfile
from pathlib import Path
from typing import Any

from components.common import integrity
from components.common.saved_model import LABELS_ASSET, SETTINGS_ASSET
from components.train.model import Classifier
from components.train.text import Preprocessor


def export(classifier: Classifier, preprocessor: Preprocessor, threshold: float, folder: str | Path) -> None:
    """Write the SavedModel to `folder`, which becomes visible whole.

    Its signature `serving_default` maps `text`, string [batch], and of pairs `text_pair`, string [batch], to `label`,
    string [batch], and `probabilities`, float32 [batch, classes]; a request is padded to its own longest text. Of a
    multi-label task `label` is the labels joined by ", ", or empty. The labels are in assets/labels.txt too, and what
    to make of the probabilities is in assets/classifier.json.
    """
    import tensorflow as tf

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
            "sequence_length": preprocessor.sequence_length,
        }
        settings_file = scratch / SETTINGS_ASSET
        settings_file.write_text(json.dumps(settings) + "\n", encoding="utf-8")

        names = ("text", "text_pair") if preprocessor.pairs else ("text",)

        @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name=name) for name in names])
        def serve(*texts: Any) -> dict[str, Any]:
            probabilities = classifier.probabilities(classifier.logits(preprocessor(*texts), training=False))
            return {"label": _decided(classifier, probabilities, threshold), "probabilities": probabilities}

        root = tf.Module()
        root.preprocessor = preprocessor.loaded
        root.encoder = classifier.encoder
        root.head = classifier.head
        root.labels = tf.saved_model.Asset(str(labels_file))
        root.settings = tf.saved_model.Asset(str(settings_file))
        made = scratch / "model"
        tf.saved_model.save(root, str(made), signatures={"serving_default": serve})
        integrity.seal(made)
        made.rename(folder)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _decided(classifier: Classifier, probabilities: Any, threshold: float) -> Any:
    """Return string [batch]: in the graph, what components.common.saved_model.Classifier.decide gives."""
    import tensorflow as tf

    labels = tf.constant(classifier.labels)
    if classifier.task == "multi_label":
        shape = tf.shape(probabilities)
        chosen = tf.ragged.boolean_mask(tf.broadcast_to(labels, shape), probabilities >= threshold)
        return tf.strings.reduce_join(chosen, -1, separator=", ")
    if classifier.binary:
        return tf.gather(labels, tf.cast(probabilities[:, 1] >= threshold, tf.int32))
    return tf.gather(labels, tf.argmax(probabilities, -1))
