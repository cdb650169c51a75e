"""SavedModels in the form that train exports, which call a text with a digit spam: made in seconds, with known answers.

    python tests/support/digits_model.py FOLDER          in the environment of the train image

writes FOLDER/single, FOLDER/pairs (two texts) and FOLDER/multi (several labels), sealed; and FOLDER/python, whose graph
calls Python, not sealed.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
TRAIN_PYTHON = ROOT / ".venv/train/bin/python"
LABELS = ["ham", "spam"]


def in_train_environment(folder: Path) -> Path:
    """Write the models to `folder` from any environment, and return it."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TF_CPP_MIN_LOG_LEVEL": "3"}
    subprocess.run([str(TRAIN_PYTHON), __file__, str(folder)], check=True, env=environment, capture_output=True)
    return folder


def build(folder: Path) -> None:
    """Write the four models."""
    import tensorflow as tf

    from berth.models import integrity

    def spam(text):
        return tf.where(tf.strings.regex_full_match(text, r"(?s).*[0-9].*"), 0.9, 0.2)

    def answer(probability):
        label = tf.where(probability > 0.5, "spam", "ham")
        return {"label": label, "probabilities": tf.stack([1 - probability, probability], -1)}

    text, text_pair = (tf.TensorSpec([None], tf.string, name=name) for name in ("text", "text_pair"))
    graphs = {
        "single": tf.function(lambda text: answer(spam(text)), input_signature=[text]),
        "pairs": tf.function(
            lambda text, text_pair: answer(spam(tf.strings.join([text, text_pair]))), input_signature=[text, text_pair]
        ),
        "multi": tf.function(
            lambda text: {"probabilities": tf.stack([tf.ones_like(spam(text)) * 0.7, spam(text)], -1)},
            input_signature=[text],
        ),
        "python": tf.function(
            lambda text: answer(tf.ensure_shape(tf.py_function(spam, [text], tf.float32), [None])),
            input_signature=[text],
        ),
    }
    for name, serve in graphs.items():
        scratch = folder / f"{name}-assets"
        scratch.mkdir(parents=True)
        (scratch / "labels.txt").write_text("".join(f"{label}\n" for label in LABELS))
        task = "multi_label" if name == "multi" else "single_label"
        settings = {"task": task, "pairs": name == "pairs", "threshold": 0.5}
        (scratch / "classifier.json").write_text(json.dumps(settings))
        root = tf.Module()
        root.weights = tf.Variable([1.0, 2.0])
        root.assets = [tf.saved_model.Asset(str(path)) for path in sorted(scratch.iterdir())]
        tf.saved_model.save(root, str(folder / name), signatures={"serving_default": serve})
        if name != "python":
            integrity.seal(folder / name)


if __name__ == "__main__":
    build(Path(sys.argv[1]))
