"""Every task on the tiny BERT, from a dataset of real messages to a served model that answers as in training."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import tensorflow as tf
from mlflow.exceptions import MlflowException
from mlflow.pyfunc.scoring_server import infer_and_parse_data
from sklearn import metrics

from berth.data import predictions as predictions_module
from berth.data.dataset import PAIR, SPLITS, TEXT, Manifest, read_columns, split_dir
from berth.data.edge_cases import EDGE_CASES
from berth.data.predictions import sample_rows
from berth.data.token_ids import TokenisedSplit
from berth.encoders.loading import load as load_hub
from berth.encoders.preprocessor import Preprocessor, tokenize_all
from berth.errors import BerthError
from berth.models.pyfunc import PyFunc
from berth.models.saved_model import ServedClassifier, load
from berth.training.recipe import Recipe
from components.train.classifier import Classifier
from components.train.evaluation import evaluation_function, predict
from components.train.step import TrainedModel, train_model
from tests.support.datasets import MESSAGES, write_dataset

LENGTH = 48
TASKS = ("two classes", "several labels", "pairs of three classes")


@dataclass(frozen=True)
class Case:
    """A trained task."""

    name: str
    dataset: Path
    manifest: Manifest
    training: TrainedModel
    folder: Path
    model: ServedClassifier
    predictions: dict[str, dict[str, np.ndarray]]

    def texts(self, split: str) -> tuple[list[str], list[str] | None]:
        rows = read_columns(self.dataset, split)
        return rows[TEXT], rows.get(PAIR)


@pytest.fixture(scope="module")
def messages() -> dict[str, list[str]]:
    """All distinct real messages, by label."""
    messages: dict[str, list[str]] = {"ham": [], "spam": []}
    for line in dict.fromkeys(MESSAGES.read_text(encoding="utf-8").splitlines()):
        label, text = line.split("\t", 1)
        messages[label].append(text)
    return messages


@pytest.fixture(scope="module", params=TASKS)
def case(request, messages, tiny, tmp_path_factory) -> Case:
    """Trained, exported and loaded: 11 s of CPU each, of which most is TensorFlow's tracing."""
    folder = tmp_path_factory.mktemp("task")
    dataset = _write(request.param, messages, folder / "dataset")
    training = train_model(
        dataset,
        folder / "model",
        folder / "predictions",
        encoder=tiny.encoder,
        preprocessor=tiny.preprocessor,
        sequence_length=LENGTH,
        recipe=Recipe("berth", 5, 16, 4e-3, 0.1, 0.01, 0),
        threshold_metric="macro_f1",
        log_metrics=lambda values, epoch: None,
    )
    manifest, model = Manifest.read(dataset), load(folder / "model")
    return Case(request.param, dataset, manifest, training, folder / "model", model, _noted(folder / "predictions"))


def _write(task: str, messages: dict[str, list[str]], folder: Path) -> Path:
    ham, spam = messages["ham"], messages["spam"]
    pairs: list[str] | None = None
    labels: list[Any]
    if task == "pairs of three classes":
        kinds = np.random.default_rng(0).integers(0, 3, len(spam)).tolist()
        rows = zip(ham, spam, ham[len(spam) :], kinds, strict=False)
        both = [((two, one), (one, two), (one, other))[kind] for one, two, other, kind in rows]
        texts, pairs = [list(side) for side in zip(*both, strict=True)]
        labels = [("spam first", "spam second", "no spam")[kind] for kind in kinds]
    else:
        texts = [text for two in zip(ham[:400], spam[:400], strict=True) for text in two]
        if task == "two classes":
            labels = ["ham", "spam"] * 400
        else:
            features = [
                {"digit": bool(re.search(r"\d\d", text)), "long": len(text) > 80, "spam": bool(number % 2)}
                for number, text in enumerate(texts)
            ]
            labels = [[name for name, is_so in own.items() if is_so] for own in features]
    cuts = {"train": slice(0, len(texts) - 150), "validation": slice(-150, -75), "test": slice(-75, None)}
    several = task == "several labels"
    vocabulary = sorted({one for label in labels for one in (label if several else [label])})
    rows = {split: list(zip(texts[cut], labels[cut], strict=True)) for split, cut in cuts.items()}
    write_dataset(folder, rows, vocabulary)
    for split in SPLITS if pairs else ():
        file = split_dir(folder, split) / "part-00000.parquet"
        pq.write_table(pq.read_table(file).append_column(PAIR, pa.array(pairs[cuts[split]])), file)
    changes = {"task": "multi_label" if several else "single_label", "pairs": bool(pairs)}
    Manifest.read(folder).model_copy(update=changes).write(folder)
    return folder


def _noted(path: Path) -> dict[str, dict[str, np.ndarray]]:
    """Return the rows, probabilities and losses of each split of the predictions file."""
    table = pq.read_table(path)
    assert table.schema == pa.schema(
        {"split": pa.string(), "row": pa.int64(), "probabilities": pa.list_(pa.float32()), "loss": pa.float32()}
    )
    frame = table.to_pandas()
    return {
        split: {
            "row": own["row"].to_numpy(),
            "probabilities": np.stack(own["probabilities"]),
            "loss": own["loss"].to_numpy(),
        }
        for split, own in frame.groupby("split")
    }


def test_it_learns_what_the_labels_are_about(case):
    _, probabilities = case.model.predict(*case.texts("test"))
    truth = read_columns(case.dataset, "test")["label"]
    if case.manifest.task == "multi_label":
        for column, label in enumerate(case.model.labels):
            area = metrics.roc_auc_score([label in own for own in truth], probabilities[:, column])
            assert area > 0.85
    else:
        right = np.mean([label == own for label, own in zip(case.model.decide(probabilities), truth, strict=True)])
        assert right > {"two classes": 0.85, "pairs of three classes": 0.7}[case.name]


def test_the_exported_model_answers_as_the_model_in_training_did(case):
    for split in ("validation", "train"):
        _, probabilities = case.model.predict(*case.texts(split))
        noted = case.predictions[split]
        assert noted["row"].tolist() == list(range(case.manifest.rows[split]))
        assert noted["probabilities"] == pytest.approx(probabilities, abs=1e-4)
    texts = list(EDGE_CASES.values())
    _, probabilities = case.model.predict(texts, texts if case.manifest.pairs else None)
    noted = case.predictions["edge"]
    assert noted["probabilities"] == pytest.approx(probabilities, abs=1e-4)
    assert noted["row"].tolist() == list(range(len(EDGE_CASES)))
    assert np.isnan(noted["loss"]).all()


def test_each_texts_loss_is_its_own_cross_entropy(case):
    for split in ("validation", "train"):
        noted = case.predictions[split]
        labels = read_columns(case.dataset, split)["label"]
        truth = np.array([[one == own or one in own for one in case.model.labels] for own in labels])
        if case.manifest.task == "single_label":
            expected = -np.log(noted["probabilities"][truth])
        else:
            expected = -np.log(np.where(truth, noted["probabilities"], 1 - noted["probabilities"])).mean(axis=1)
        assert noted["loss"] == pytest.approx(expected, abs=1e-3)
    val_loss = case.training.outcome.metrics["val_loss"]
    assert case.predictions["validation"]["loss"].mean() == pytest.approx(val_loss, abs=1e-5)


def test_the_served_label_is_what_the_classifier_decides(case):
    texts, pairs = case.texts("test")
    texts, pairs = [*texts, "", "😀 \0"], pairs and [*pairs, "", "x"]
    serve = case.model._serve
    inputs = {"text": tf.constant(texts)} | ({"text_pair": tf.constant(pairs)} if pairs else {})
    answer = serve(**inputs)
    served = [label.decode() for label in answer["label"].numpy()]
    decided = case.model.decide(answer["probabilities"].numpy())
    assert served == [", ".join(own) if isinstance(own, list) else own for own in decided]
    assert len(set(served)) > 1
    nothing = serve(**{name: tf.constant([], tf.string) for name in inputs})
    assert nothing["label"].shape == (0,)
    assert nothing["probabilities"].shape == (0, len(case.model.labels))
    assert set(serve.structured_input_signature[1]) == set(inputs)


def test_the_model_says_what_it_is(case):
    assert (case.model.task, case.model.pairs) == (case.manifest.task, case.manifest.pairs)
    assert case.model.threshold == case.training.threshold.value
    assert case.model.labels == case.manifest.labels
    assert (case.training.threshold.score is None) == (case.name == "pairs of three classes")


def test_mlflow_hands_over_what_json_or_a_frame_holds(case):
    import pandas as pd

    texts, pairs = case.texts("test")
    texts, pairs = texts[:5], pairs and pairs[:5]
    decided, probabilities = case.model.predict(texts, pairs)
    pyfunc = PyFunc(case.model)
    if pairs:
        rows = [list(two) for two in zip(texts, pairs, strict=True)]
        named = pd.DataFrame({"text_pair": pairs, "label": "?", "text": texts})
        inputs = [rows, np.array(rows), pd.DataFrame(rows), named]
        inputs += [{"text": texts, "text_pair": pairs}]
        inputs += [infer_and_parse_data({"inputs": {"text": texts, "text_pair": pairs}})]
        inputs += [infer_and_parse_data({"dataframe_split": {"columns": ["text", "text_pair"], "data": rows}})]
    else:
        inputs = [texts, np.array(texts), pd.Series(texts), pd.DataFrame({"anything": texts}), np.array([texts]).T]
        inputs += [pd.DataFrame({"label": "?", "text": texts}), {"text": texts}]
        inputs += [infer_and_parse_data({"inputs": texts})]
        inputs += [infer_and_parse_data({"dataframe_records": [{"text": text} for text in texts]})]
    for given in inputs:
        frame = pyfunc.predict(given)
        assert frame["label"].tolist() == [", ".join(own) if isinstance(own, list) else own for own in decided]
        assert frame[[f"p({label})" for label in case.model.labels]].to_numpy() == pytest.approx(
            probabilities, abs=1e-6
        )
    if case.manifest.task == "single_label":
        assert frame["probability"].tolist() == [
            row[case.model.labels.index(own)] for own, row in zip(decided, probabilities, strict=True)
        ]
    else:
        assert "probability" not in frame
    assert len(pyfunc.predict([])) == 0


def _classifier(**settings) -> ServedClassifier:
    def serve(**_):
        raise AssertionError("what is refused never reaches the model")

    defaults = {"task": "single_label", "pairs": False, "threshold": 0.5, "sequence_length": LENGTH}
    return ServedClassifier(["a", "b", "c"][: settings.pop("classes", 2)], serve, defaults | settings)


@pytest.mark.parametrize(
    ("pairs", "call", "message"),
    [
        (True, lambda model: model.predict(["a"]), "takes pairs, and was given 1 texts with 0 second texts"),
        (True, lambda model: model.predict(["a"], ["b", "c"]), "was given 1 texts with 2 second texts"),
        (False, lambda model: model.predict(["a"], ["b"]), "takes single texts, and was given pairs"),
        (True, lambda model: PyFunc(model).predict(["a", "b"]), "takes pairs"),
        (False, lambda model: PyFunc(model).predict([["a", "b"]]), "takes single texts"),
        (True, lambda model: PyFunc(model).predict([["a", "b"], ["c"]]), "row 0 of the input holds list where a text"),
        (
            True,
            lambda model: PyFunc(model).predict([["a", None]]),
            "1 of 1 texts missing in the input, the first in row 0",
        ),
        (True, lambda model: PyFunc(model).predict([["a", "b", "c"]]), "an input has 3 columns"),
        (True, lambda model: PyFunc(model).predict({"premise": ["a"], "hypothesis": ["b"]}), "one column named 'text'"),
    ],
)
def test_texts_and_pairs_must_match_the_model(pairs, call, message):
    """Pairs for a model of texts, and texts for a model of pairs, are refused; through MLflow as an invalid request."""
    with pytest.raises((BerthError, MlflowException), match=message):
        call(_classifier(pairs=pairs))


def test_only_binary_and_multi_label_decisions_use_the_threshold():
    """With three or more exclusive classes the threshold has no effect."""
    two = np.array([[0.75, 0.25], [0.7, 0.3], [0.2, 0.8]], np.float32)
    assert _classifier(threshold=0.3).decide(two) == ["a", "b", "b"]
    assert _classifier(threshold=0.9).decide(two) == ["a", "a", "a"]
    three = np.array([[0.2, 0.3, 0.5], [0.4, 0.3, 0.3]], np.float32)
    assert _classifier(classes=3, threshold=0.9).decide(three) == ["c", "a"]
    assert _classifier(classes=3, threshold=0.3, task="multi_label").decide(three) == [["b", "c"], ["a", "b", "c"]]
    assert _classifier(classes=3, threshold=0.9, task="multi_label").decide(three) == [[], []]
    assert _classifier(classes=3, threshold=[0.5, 0.2, 0.3], task="multi_label").decide(three) == [
        ["b", "c"],
        ["b", "c"],
    ]
    assert _classifier(task="multi_label").decide(np.zeros((0, 2), np.float32)) == []


def test_both_texts_of_a_pair_are_cut_in_turn_until_they_fit(tiny):
    prepare = Preprocessor(load_hub("preprocessor", tiny.preprocessor, "tiny"), 16, "tiny", pairs=True)
    texts = tf.constant(["call " * 50, "call now", "", "call " * 3])
    inputs = prepare(texts, tf.constant(["free " * 50, "free " * 50, "", ""]))
    ids, types, mask = (inputs[name].numpy() for name in ("input_word_ids", "input_type_ids", "input_mask"))
    assert ids.shape == (4, 16)
    assert mask.sum(axis=1).tolist() == [16, 16, 3, 6]
    # [CLS] first [SEP] are of type 0, second [SEP] of type 1.
    assert types.sum(axis=1).tolist() == [7, 12, 1, 1]
    assert prepare(tf.constant(["call"]), tf.constant(["free now"]))["input_word_ids"].shape == (1, 6)
    assert tokenize_all(prepare, ["call " * 50, "call"])[0].lengths().tolist() == [13, 1]


def test_a_preprocessor_that_packs_single_texts_only_is_refused(tmp_path, tiny):
    loaded = load_hub("preprocessor", tiny.preprocessor, "tiny")

    class SingleTexts:
        tokenize = loaded.tokenize

        @staticmethod
        def bert_pack_inputs(segments, seq_length):
            if len(segments) > 1:
                raise ValueError("no matching concrete function")
            return loaded.bert_pack_inputs(segments, seq_length=seq_length)

    assert Preprocessor(SingleTexts(), 16, "mine")(tf.constant(["a"]))["input_mask"].shape == (1, 3)
    with pytest.raises(BerthError, match=r"preprocessor: 'mine' cannot pack two texts\. Name one"):
        Preprocessor(SingleTexts(), 16, "mine", pairs=True)(tf.constant(["a"]), tf.constant(["b"]))


def test_of_a_large_train_split_a_sample_is_predicted(monkeypatch):
    monkeypatch.setattr(predictions_module, "MAX_TRAIN_ROWS", 50)
    assert sample_rows(50, 0).tolist() == list(range(50))
    rows = sample_rows(5000, 0)
    assert len(set(rows.tolist())) == 50
    assert rows.tolist() == sorted(rows.tolist()) == sample_rows(5000, 0).tolist()
    assert rows.tolist() != sample_rows(5000, 1).tolist()
    assert 1500 < rows.mean() < 3500


def test_predictions_of_a_subset_are_those_of_its_rows(tiny):
    prepare = Preprocessor(load_hub("preprocessor", tiny.preprocessor, "tiny"), LENGTH, "tiny", pairs=True)
    evaluation = evaluation_function(Classifier(tiny.encoder, "tiny", ["a", "b", "c"], 0, "multi_label"), prepare)
    texts = [f"call {number} " * (number % 7) for number in range(150)]
    tokens, _ = tokenize_all(prepare, texts)
    targets = np.random.default_rng(0).integers(0, 2, (150, 3)).astype(np.int32)
    split = TokenisedSplit(tokens, targets, tokens.subset(range(len(texts))[::-1]))
    probabilities, losses = predict(evaluation, prepare, split, "all")
    rows = np.array([149, 3, 77])
    some, some_losses = predict(evaluation, prepare, split.subset(rows), "some")
    assert some == pytest.approx(probabilities[rows], abs=1e-6)
    assert some_losses == pytest.approx(losses[rows], abs=1e-6)


def test_mcc_for_several_labels_is_refused_before_training(tmp_path, messages, tiny):
    dataset = _write("several labels", messages, tmp_path / "dataset")
    with pytest.raises(BerthError, match="threshold_metric: mcc is not defined for multi-label"):
        train_model(
            dataset,
            tmp_path / "model",
            tmp_path / "predictions",
            encoder="gone",
            preprocessor="gone",
            sequence_length=LENGTH,
            recipe=Recipe("berth", 1, 16, 1e-3, 0.1, 0.01, 0),
            threshold_metric="mcc",
            log_metrics=lambda values, epoch: None,
        )
