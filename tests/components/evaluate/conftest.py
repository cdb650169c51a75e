"""Small real SavedModels with the signature that train exports, and what train notes of them."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from berth.data.dataset import read_columns
from berth.data.edge_cases import EDGE_CASES
from berth.models import integrity
from berth.models.saved_model import LABELS_ASSET, SETTINGS_ASSET, load
from components.evaluate import serving_check
from tests.support.model_processes import ModelProcess


def export(folder: Path, labels: list[str], probabilities: Callable, **settings: object) -> Path:
    """Write a sealed SavedModel whose graph is `probabilities`: a string tensor in, float32 [texts, labels] out."""
    import tensorflow as tf

    folder.parent.mkdir(parents=True, exist_ok=True)
    (folder.parent / LABELS_ASSET).write_text("".join(f"{label}\n" for label in labels))
    (folder.parent / SETTINGS_ASSET).write_text(json.dumps(settings))

    # Without AutoGraph, which cannot convert a function that is made inside a test.
    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="text")], autograph=False)
    def serve(text):
        found = probabilities(text)
        return {"label": tf.gather(tf.constant(labels), tf.argmax(found, -1)), "probabilities": found}

    root = tf.Module()
    root.assets = [tf.saved_model.Asset(str(folder.parent / name)) for name in (LABELS_ASSET, SETTINGS_ASSET)]
    tf.saved_model.save(root, str(folder), signatures={"serving_default": serve})
    integrity.seal(folder)
    return folder


def of_digits(sure: float = 0.9, unsure: float = 0.2) -> Callable:
    """Return a graph for two labels: the second is likely, `sure`, of a text that holds a digit, else `unsure`."""
    import tensorflow as tf

    def probabilities(text):
        second = tf.where(tf.strings.regex_full_match(text, r"(?s).*\d.*"), sure, unsure)
        return tf.stack([1 - second, second], -1)

    return probabilities


def note(model: Path, dataset: Path, path: Path, shift: float = 0.0) -> Path:
    """Write what train would note of `model`; with `shift`, what it would note of one that was exported wrongly."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    classifier = load(model)
    columns: dict[str, list] = {"split": [], "row": [], "probabilities": [], "loss": []}
    texts = {"edge": list(EDGE_CASES.values())}
    texts |= {split: read_columns(dataset, split)["text"] for split in ("validation", "train")}
    for split, own in texts.items():
        _, found = classifier.predict(own)
        columns["split"] += [split] * len(own)
        columns["row"] += range(len(own))
        columns["probabilities"] += (found + shift).tolist()
        truth = read_columns(dataset, split)["label"] if split != "edge" else [classifier.labels[0]] * len(own)
        true = [classifier.labels.index(label) if isinstance(label, str) else 0 for label in truth]
        columns["loss"] += (-np.log(np.clip(found[range(len(own)), true], 1e-7, 1))).tolist()
    types = {"probabilities": pa.list_(pa.float32()), "loss": pa.float32(), "row": pa.int64(), "split": pa.string()}
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table({name: pa.array(values, types[name]) for name, values in columns.items()}), path)
    return path


@pytest.fixture
def fresh_process() -> None:
    """Models are loaded as evaluate does it, each in a new interpreter, which takes seconds."""


@pytest.fixture(autouse=True)
def forked_process(request, monkeypatch) -> None:
    """Models are loaded in forks of a process that has imported TensorFlow."""
    if "fresh_process" not in request.fixturenames:
        monkeypatch.setattr(serving_check, "_start", ModelProcess)


@pytest.fixture(scope="session")
def model(tmp_path_factory) -> Path:
    """Calls whatever holds a digit spam."""
    return export(tmp_path_factory.mktemp("digits") / "model", ["ham", "spam"], of_digits())


@pytest.fixture
def noted(model, dataset, tmp_path) -> Path:
    return note(model, dataset, tmp_path / "predictions.parquet")
