"""The train step on the tiny BERT: the recipe, the batches, the export, and what cannot be trained."""

import gc
import json
import re
import tempfile
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from berth.data.dataset import SPLITS
from berth.data.edge_cases import EDGE_CASES
from berth.data.predictions import TrainingPredictions
from berth.encoders import loading
from berth.encoders.builtin import bert
from berth.encoders.preprocessor import Preprocessor, tokenize_all
from berth.errors import BerthError
from berth.models.saved_model import load
from berth.tracking import run_tree
from berth.training.recipe import Recipe
from berth.training.settings import Training
from components.train import evaluation
from components.train.classifier import Classifier
from components.train.step import train_model
from tests.support.datasets import component_body, write_dataset

LENGTH = 32
HARD_TEXTS = ["", "ok", "word " * 500, "😀 مرحبا \u202eabc", "nul\0byte", "line\nline\ttab"]


def flat(**changes):
    """Return what a RunConfig says of the recipe, field by field."""
    usual = {"recipe": "berth", "epochs": 2, "batch_size": 16, "learning_rate": 1e-3, "warmup_fraction": 0.1}
    return usual | {"weight_decay": 0.01, "seed": 0} | changes


def recipe(**changes) -> Recipe:
    return Recipe(**flat(training=Training(**changes.pop("training", {})), **changes))


@pytest.fixture
def train(tmp_path, tiny):
    """Return a function that trains the tiny BERT; it returns the training and the metrics of each epoch."""

    def train(dataset, name="model", **changes):
        logged: dict[int, dict[str, float]] = {}

        def log(values, number):
            if not any(metric.startswith("steps/") for metric in values):
                logged[number] = values

        training = train_model(
            dataset,
            tmp_path / name,
            tmp_path / f"{name}.parquet",
            encoder=changes.pop("encoder", tiny.encoder),
            preprocessor=changes.pop("preprocessor", tiny.preprocessor),
            sequence_length=changes.pop("sequence_length", LENGTH),
            threshold_metric=changes.pop("threshold_metric", "macro_f1"),
            recipe=recipe(**changes),
            log_metrics=log,
        )
        return training, logged

    return train


@pytest.fixture
def preprocessor(tiny) -> Preprocessor:
    return Preprocessor(loading.load("preprocessor", tiny.preprocessor, "tiny"), LENGTH, "tiny")


def test_it_learns_a_word_that_decides(train, tmp_path):
    """Where one frequent word is the class, even a random encoder of one layer gets it."""
    rng = np.random.default_rng(0)
    words = ["call", "you", "to", "the", "and", "now", "for", "me"]
    rows = [
        (" ".join([("free" if n % 2 else "home"), *rng.choice(words, 5)]), "spam" if n % 2 else "ham")
        for n in range(480)
    ]
    split = {"train": rows[:400], "validation": rows[400:440], "test": rows[440:]}
    training, logged = train(write_dataset(tmp_path / "words", split, ["ham", "spam"]), epochs=6, learning_rate=5e-3)
    assert training.outcome.metrics["val_accuracy"] > 0.95
    assert logged[6]["train_loss"] < logged[1]["train_loss"] / 2
    labels, _ = load(tmp_path / "model").predict([text for text, _ in split["test"]])
    assert np.mean([own == label for own, (_, label) in zip(labels, split["test"], strict=True)]) > 0.95


def test_the_epoch_with_the_lowest_validation_loss_is_exported(train, dataset, tmp_path, real_rows, monkeypatch):
    """The validation split is predicted once for each epoch, and in part before the first one; not again at the end."""
    calls = []
    make = evaluation.by_batches
    monkeypatch.setattr(evaluation, "by_batches", lambda *given: calls.append(given[-1]) or make(*given))
    training, logged = train(dataset, epochs=4, learning_rate=1e-2, training={"select_by": "val_loss"})
    assert calls.count("predicting validation") == 1 + 4
    best = min(logged, key=lambda epoch: logged[epoch]["val_loss"])
    assert training.outcome.best_epoch == best
    metrics = {"train_loss", "val_loss", "val_loss_error", "val_accuracy", "val_macro_f1", "learning_rate"}
    assert set(logged[1]) == metrics | {
        *("examples_per_second", "tokens_per_second", "padding_share", "gflops_per_second")
    }
    texts, labels = zip(*real_rows["validation"], strict=True)
    _, probabilities = load(tmp_path / "model").predict(texts)
    truth = [["ham", "spam"].index(label) for label in labels]
    loss = -np.log(probabilities[np.arange(len(truth)), truth]).mean()
    assert loss == pytest.approx(logged[best]["val_loss"], abs=1e-4)


def test_same_seed_gives_the_same_model(train, dataset, tmp_path):
    """Another seed gives another model."""
    losses = [train(dataset, name, seed=seed)[1][2]["val_loss"] for name, seed in (("a", 0), ("b", 0), ("c", 1))]
    assert losses[0] == pytest.approx(losses[1], abs=1e-5)
    assert losses[0] != pytest.approx(losses[2], abs=1e-3)


def test_training_leaves_no_temporary_files(train, dataset, tmp_path, monkeypatch):
    """But for what TensorFlow rewrites of its own for a SavedModel; AutoGraph took half of a short training's time."""
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(scratch))
    train(dataset, epochs=1)
    gc.collect()
    own = re.compile(r"def tf__(signature_wrapper|gradient_func)\(")
    left = [path for path in scratch.iterdir() if path.name != "__pycache__"]  # of what TensorFlow rewrites
    assert not [path for path in left if not path.is_file() or not own.search(path.read_text())]


def test_the_baseline_recipe_is_plain_adam_at_a_constant_rate(train, dataset):
    _, logged = train(dataset, recipe="baseline", learning_rate=1e-3)
    assert [logged[epoch]["learning_rate"] for epoch in (1, 2)] == pytest.approx([1e-3, 1e-3])


def test_calibrated_model_is_exported_with_its_temperature(train, tmp_path, capsys):
    """Label smoothing in reverse: of texts whose labels are drawn, a head fitted to few of them is too sure."""
    rng = np.random.default_rng(0)
    rows = [(f"{word} {n}", word if rng.random() < 0.7 else "home") for n in range(60) for word in ("call", "free")]
    dataset = write_dataset(tmp_path / "noisy", dict.fromkeys(SPLITS, rows), ["call", "free", "home"])
    options = {"recipe": "frozen", "threshold_metric": "none"}
    losses = []
    for name, training in (("plain", {}), ("calibrated", {"calibrate": True})):
        train(dataset, name, training=training, **options)
        noted = TrainingPredictions.read(tmp_path / f"{name}.parquet").validation
        _, probabilities = load(tmp_path / name).predict([text for text, _ in rows])
        assert probabilities == pytest.approx(noted.probabilities, abs=1e-5), "what serving answers is what was noted"
        losses.append(noted.losses.mean())
    assert "temperature" in capsys.readouterr().out
    assert losses[1] <= losses[0] + 1e-6


def test_a_precise_model_that_abstains_is_exported_with_both(train, tmp_path):
    rows = [(f"{word} {n}", "spam" if word == "free" else "ham") for n in range(40) for word in ("call", "free")]
    dataset = write_dataset(tmp_path / "two", dict.fromkeys(SPLITS, rows), ["ham", "spam"])
    decision = {"precision_at_least": 0.9, "abstain_below": 0.6}
    training, _ = train(dataset, recipe="frozen", threshold_metric="none", training=decision)
    settings = json.loads((tmp_path / "model/assets/classifier.json").read_text())
    assert settings["threshold"] == training.threshold.value
    assert settings["abstain_below"] == 0.6
    assert training.threshold.score >= 0.9
    labels, _ = load(tmp_path / "model").predict([text for text, _ in rows])
    assert all(own in ("", truth) for own, (_, truth) in zip(labels, rows, strict=True))


@pytest.mark.parametrize("recipe", ["frozen", "auto"])
def test_a_head_on_the_encoder_as_it_is_learns_and_exports(train, tmp_path, recipe):
    """With `auto` fine-tuning at a rate of nothing cannot win against it."""
    rows = [(f"{word} {number}", word) for number in range(40) for word in ("call", "free", "home")]
    dataset = write_dataset(tmp_path / "three", dict.fromkeys(SPLITS, rows), ["call", "free", "home"])
    training, _ = train(dataset, recipe=recipe, epochs=1, learning_rate=1e-9, threshold_metric="none")
    assert training.outcome.metrics["val_accuracy"] > 0.9
    labels, probabilities = load(tmp_path / "model").predict([text for text, _ in rows])
    assert np.mean([own == label for own, (_, label) in zip(labels, rows, strict=True)]) > 0.9
    noted = TrainingPredictions.read(tmp_path / "model.parquet").validation.probabilities
    assert probabilities == pytest.approx(noted, abs=1e-5)


@pytest.mark.parametrize("recipe", ["contrast", "frozen"])
def test_one_text_of_each_class_is_learnt(train, tmp_path, recipe, capsys):
    rows = [("call me", "call"), ("free money", "free"), ("home now", "home")]
    dataset = write_dataset(tmp_path / "few", dict.fromkeys(SPLITS, rows), ["call", "free", "home"])
    train(dataset, recipe=recipe, threshold_metric="none", epochs=2)
    assert "anomaly warn 3 train texts for 3 labels are hardly one each" in capsys.readouterr().out
    labels, _ = load(tmp_path / "model").predict([text for text, _ in rows])
    assert labels == ["call", "free", "home"]


def test_auto_compares_contrast_with_frozen(train, tmp_path, capsys):
    rows = [(f"{word} {number}", word) for number in range(20) for word in ("call", "free", "home")]
    dataset = write_dataset(tmp_path / "few", dict.fromkeys(SPLITS, rows), ["call", "free", "home"])
    train(dataset, recipe="auto", epochs=0, batch_size=0, learning_rate=0, threshold_metric="none")
    said = capsys.readouterr().out
    assert "settings: recipe contrast (60 train texts of 3 labels) or frozen, the better one on 60 " in said
    assert re.search(r"validation accuracy \(loss\): contrast .*, frozen .*; kept: (contrast|frozen)\n", said)


def test_contrast_learns_from_few_texts_and_exports(train, tmp_path):
    rows = [(f"{word} {number}", word) for number in range(8) for word in ("call", "free", "home")]
    dataset = write_dataset(tmp_path / "few", dict.fromkeys(SPLITS, rows), ["call", "free", "home"])
    _, logged = train(dataset, recipe="contrast", epochs=2, threshold_metric="none")
    assert logged[2]["train_loss"] < logged[1]["train_loss"]
    labels, probabilities = load(tmp_path / "model").predict([text for text, _ in rows])
    assert np.mean([own == label for own, (_, label) in zip(labels, rows, strict=True)]) > 0.9
    noted = TrainingPredictions.read(tmp_path / "model.parquet").validation.probabilities
    assert probabilities == pytest.approx(noted, abs=1e-5)


def test_contrast_refuses_texts_with_several_labels(train, tmp_path):
    rows = [(f"{' '.join(own)} {n}", list(own)) for n in range(8) for own in (("call",), ("free", "call"))]
    dataset = write_dataset(tmp_path / "tags", dict.fromkeys(SPLITS, rows), ["call", "free"], "multi_label")
    with pytest.raises(BerthError, match=r"recipe: contrast needs one label a text.*Set recipe: berth"):
        train(dataset, recipe="contrast", threshold_metric="none")


def test_a_frozen_encoder_takes_multi_label_texts(train, tmp_path):
    rows = [(f"{' '.join(own)} {n}", list(own)) for n in range(40) for own in (("call",), ("free", "call"), ("home",))]
    dataset = write_dataset(tmp_path / "tags", dict.fromkeys(SPLITS, rows), ["call", "free", "home"], "multi_label")
    train(dataset, recipe="frozen", threshold_metric="none")
    labels, _ = load(tmp_path / "model").predict(["free call 7", "home 3"])
    assert [sorted(own) for own in labels] == [["call", "free"], ["home"]]


def test_the_export_maps_strings_to_label_and_probabilities(train, dataset, tmp_path):
    train(dataset, threshold_metric="none")
    assert (tmp_path / "model/assets/labels.txt").read_text() == "ham\nspam\n"
    serve = tf.saved_model.load(str(tmp_path / "model")).signatures["serving_default"]
    answer = serve(text=tf.constant(HARD_TEXTS))
    probabilities = answer["probabilities"].numpy()
    assert probabilities.shape == (len(HARD_TEXTS), 2)
    assert probabilities.sum(1) == pytest.approx(1, abs=1e-6)
    assert [label.decode() for label in answer["label"].numpy()] == [
        ["ham", "spam"][i] for i in probabilities.argmax(1)
    ]
    alone = np.concatenate([serve(text=tf.constant([text]))["probabilities"] for text in HARD_TEXTS])
    assert alone == pytest.approx(probabilities, abs=1e-5)
    assert serve(text=tf.constant([], tf.string))["probabilities"].shape == (0, 2)


def test_more_than_two_classes_get_a_softmax(train, tmp_path):
    rows = [(f"{word} {number}", word) for number in range(40) for word in ("call", "free", "home")]
    dataset = write_dataset(tmp_path / "three", dict.fromkeys(SPLITS, rows), ["call", "free", "home"])
    train(dataset, epochs=5, learning_rate=5e-3)
    labels, probabilities = load(tmp_path / "model").predict(["free 1", "home 2", "call 3"])
    assert probabilities.shape == (3, 3)
    assert labels == ["free", "home", "call"]


def test_missing_train_class_and_empty_split_are_refused(train, tmp_path):
    rows = {split: [("a", "ham"), ("b", "ham")] for split in SPLITS}
    with pytest.raises(BerthError, match="train split has no text of the class 'spam'"):
        train(write_dataset(tmp_path / "one", rows, ["ham", "spam"]))
    rows = {"train": [("a", "ham"), ("b", "spam"), ("c", "spam")], "validation": [], "test": []}
    with pytest.raises(BerthError, match="the validation split is empty"):
        train(write_dataset(tmp_path / "none", rows, ["ham", "spam"]))
    rows = {split: [("\U0001f600", "ham"), ("\u0416 \u0416", "spam"), ("\u4e2d", "spam")] for split in SPLITS}
    with pytest.raises(BerthError, match="all texts of the train split are the same to the encoder"):
        train(write_dataset(tmp_path / "unknown", rows, ["ham", "spam"]))
    rows = {split: [("\u200b", "ham"), ("", "spam"), (" ", "spam")] for split in SPLITS}
    with pytest.raises(BerthError, match="no text of the train split has a token"):
        train(write_dataset(tmp_path / "empty", rows, ["ham", "spam"]))
    assert not (tmp_path / "model").exists()


def test_nan_loss_stops_training_without_a_model(train, dataset, tmp_path):
    """The error names the step and the learning rate."""
    with pytest.raises(BerthError, match=r"the loss is (nan|inf) in epoch 1, step \d+ of \d+, .*Lower learning_rate"):
        train(dataset, recipe="baseline", learning_rate=1e38)
    assert [path.name for path in tmp_path.iterdir() if "model" in path.name] == []


def test_what_is_no_text_encoder_or_no_preprocessor_is_refused(train, dataset, tiny):
    with pytest.raises(BerthError, match=r"encoder: '.*' takes string, not input_word_ids"):
        train(dataset, encoder=tiny.preprocessor)
    with pytest.raises(BerthError, match=r"preprocessor: '.*' has no tokenize and bert_pack_inputs"):
        train(dataset, preprocessor=tiny.encoder)
    with pytest.raises(BerthError, match=r"sequence_length: the encoder '.*' does not accept texts of 129 tokens"):
        train(dataset, sequence_length=129)  # the tiny BERT has 128 positions


def test_vocabulary_mismatch_fails_before_training(train, dataset, tiny, tmp_path):
    """The encoder's word table has too few rows for the vocabulary."""
    words = (Path(tiny.preprocessor) / "assets" / "vocab.txt").read_text(encoding="utf-8")
    (tmp_path / "vocab.txt").write_text(f"{words}zebra\n", encoding="utf-8")
    bert.save_preprocessor(tmp_path / "vocab.txt", tmp_path / "larger")
    with pytest.raises(BerthError, match=r"preprocessor: it knows \d+ tokens, .* They do not belong together"):
        train(dataset, preprocessor=str(tmp_path / "larger"))
    assert not (tmp_path / "model").exists()


def test_word_gradients_are_sparse_through_tf_hub(tiny, preprocessor):
    classifier = Classifier(tiny.encoder, "tiny", ["ham", "spam"], 0)
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(classifier.logits(preprocessor(tf.constant(["free call"])), training=True))
    gradients = tape.gradient(loss, classifier.variables)
    assert any(isinstance(gradient, tf.IndexedSlices) for gradient in gradients)
    assert sum(gradient is None for gradient in gradients) == 0


def test_batch_is_padded_to_its_longest_text(preprocessor):
    """A batch is also cut to the sequence length."""
    for text, width in (("ok", 4), ("free call now", 5), ("call " * 100, LENGTH)):
        assert preprocessor(tf.constant([text, "a"]))["input_word_ids"].shape[1] <= width
    tokens, whole = tokenize_all(preprocessor, ["free call now", "", "call " * 100])
    assert tokens.lengths().tolist() == [3, 0, LENGTH - 2]
    assert whole.tolist() == [3, 0, 100]


def test_the_step_says_what_came_out_and_logs_each_epoch(store, artifact, dataset, tiny, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("MLFLOW_SYSTEM_METRICS_SAMPLING_INTERVAL", "0.2")
    monkeypatch.setenv("MLFLOW_SYSTEM_METRICS_SAMPLES_BEFORE_LOGGING", "1")
    model, metrics, predictions = artifact("model"), artifact("metrics"), artifact("predictions")
    inputs = {"dataset": artifact("dataset", dataset)}
    settings = {"encoder": tiny.encoder, "preprocessor": tiny.preprocessor, "sequence_length": LENGTH, **flat()}
    settings |= {"encoder_fingerprint": "f"}
    outputs = {"model": model, "metrics": metrics, "predictions": predictions}
    places = {"checkpoints": str(tmp_path / "checkpoints"), "checkpoint_minutes": 10.0, "require_gpu": False}
    options = {
        "training": {"accumulate": 2.0},
        "pooling": "mean",
        "long_texts": "truncate",
    }  # KFP makes every number of a dict a float
    component_body("train", "train")(
        **inputs, **settings, **options, **places, threshold_metric="mcc", positive_label="", **outputs
    )
    (step,) = run_tree.children(store.client, store.parent)
    assert len(store.client.get_metric_history(step.info.run_id, "val_loss")) == 2
    assert len(store.client.get_metric_history(step.info.run_id, "steps/train_loss")) == 20
    assert step.data.metrics["system/cpu_utilization_percentage"] >= 0
    assert step.data.params["learning_rate"] == "0.001"
    assert step.data.params["long_texts"] == "truncate"
    assert step.data.params["training.accumulate"] == "2"
    assert model.metadata["summary"].startswith(f"epoch {int(metrics.logged['best_epoch'])} of 2, validation loss ")
    packages = [line.split("==")[0] for line in json.loads(model.metadata["requirements"])]
    assert packages == ["tensorflow", "tensorflow-text", "mlflow", "numpy", "pandas"]
    assert model.metadata["task"] == "single_label"
    threshold = load(tmp_path / "outputs/model").threshold
    assert model.metadata["threshold"] == metrics.logged["threshold"] == step.data.metrics["threshold"] == threshold
    assert re.fullmatch("[0-9a-f]{64}", step.data.tags["encoder_sha256"])
    assert (step.data.params["threshold_metric"], step.data.params["pooling"]) == ("mcc", "mean")
    assert step.data.metrics["train_seconds"] > 0
    assert {name: len(own.rows) for name, own in vars(TrainingPredictions.read(predictions.path)).items()} == {
        "edge": len(EDGE_CASES),
        "validation": 40,
        "train": 320,
    }
    assert (tmp_path / "outputs/metrics").is_file()
    out = capsys.readouterr().out
    assert "progress 1/20 epoch 1/2 " in out  # two batches a step
    assert re.search(rf"^threshold {threshold:.2f} \(MCC -?\d\.\d\d on validation\)$", out, re.MULTILINE)
