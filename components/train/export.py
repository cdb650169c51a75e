"""Export a fine-tuned classifier as one SavedModel: strings in, label and probabilities out, labels inside."""

import shutil
import tempfile
from pathlib import Path
from typing import Any

from components.common import integrity
from components.common.saved_model import LABELS_ASSET
from components.train.model import Classifier
from components.train.text import Preprocessor


def export(classifier: Classifier, preprocessor: Preprocessor, folder: str | Path) -> None:
    """Write the SavedModel to `folder`, which becomes visible whole.

    Its signature `serving_default` maps `text`, string [batch], to `label`, string [batch], and `probabilities`,
    float32 [batch, classes]; a request is padded to its own longest text. The labels are in assets/labels.txt too.
    """
    import tensorflow as tf

    folder = Path(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        labels_file = scratch / LABELS_ASSET
        labels_file.write_text("".join(f"{label}\n" for label in classifier.labels), encoding="utf-8")

        @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="text")])
        def serve(text: Any) -> dict[str, Any]:
            logits = classifier.logits(preprocessor(text), training=False)
            probabilities = classifier.probabilities(logits)
            label = tf.gather(tf.constant(classifier.labels), tf.argmax(probabilities, -1))
            return {"label": label, "probabilities": probabilities}

        root = tf.Module()
        root.preprocessor = preprocessor.loaded
        root.encoder = classifier.encoder
        root.head = classifier.head
        root.labels = tf.saved_model.Asset(str(labels_file))
        made = scratch / "model"
        tf.saved_model.save(root, str(made), signatures={"serving_default": serve})
        integrity.seal(made)
        made.rename(folder)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
