"""The evaluate step on a real SavedModel: a classifier that calls whatever holds a digit spam."""

from html.parser import HTMLParser

import pytest
import tensorflow as tf

from components.common import tracking
from components.common.errors import BerthError
from components.common.saved_model import load
from components.evaluate.step import evaluate_model
from tests.components.conftest import component_body, write_dataset


@pytest.fixture(scope="session")
def model(tmp_path_factory):
    """A SavedModel with the signature that train exports."""
    folder = tmp_path_factory.mktemp("digits") / "model"
    labels = folder.parent / "labels.txt"
    labels.write_text("ham\nspam\n")

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="text")])
    def serve(text):
        spam = tf.where(tf.strings.regex_full_match(text, r"(?s).*\d.*"), 0.9, 0.2)
        label = tf.where(spam > 0.5, "spam", "ham")
        return {"label": label, "probabilities": tf.stack([1 - spam, spam], -1)}

    root = tf.Module()
    root.labels = tf.saved_model.Asset(str(labels))
    tf.saved_model.save(root, str(folder), signatures={"serving_default": serve})
    return folder


def test_the_loader_keeps_the_order_of_texts_and_takes_none(model):
    classifier = load(model)
    labels, probabilities = classifier.predict(["a long text without", "1", "", "2 more\nlines"], batch_size=2)
    assert labels == ["ham", "spam", "ham", "spam"]
    assert probabilities.shape == (4, 2)
    assert classifier.predict([])[1].shape == (0, 2)


def test_a_folder_that_berth_did_not_export_is_refused(tmp_path):
    with pytest.raises(BerthError, match="not a model that Berth exported"):
        load(tmp_path)


def test_a_damaged_model_is_refused(model, tmp_path):
    import shutil

    copy = shutil.copytree(model, tmp_path / "copy")
    (copy / "saved_model.pb").write_bytes(b"\xff\xff")
    with pytest.raises(BerthError, match="damaged and cannot be loaded"):
        load(copy)


def test_real_messages_are_scored_and_judged(model, dataset, real_rows, tmp_path):
    judgement = evaluate_model(model, dataset, {"min_accuracy": 0.5}, tmp_path / "report.html")
    right = sum((label == "spam") == any(map(str.isdigit, text)) for text, label in real_rows["test"])
    assert judgement.evaluation.accuracy == right / 40
    assert judgement.verdict.blessed


class Tags(HTMLParser):
    def __init__(self):
        super().__init__()
        self.found: list[tuple[str, dict]] = []

    def handle_starttag(self, tag, attributes):
        self.found.append((tag, dict(attributes)))


def test_the_report_shows_hostile_text_and_runs_and_loads_nothing(model, tmp_path):
    hostile = "<script>alert(1)</script> 1 <img src=x onerror=alert(2)> {{ 7*7 }}"
    rows = {"train": [("a", "ham")], "validation": [("b", "ham")], "test": [(hostile, "ham"), ("1", "spam")]}
    dataset = write_dataset(tmp_path / "dataset", rows, ["ham", "spam"])
    evaluate_model(model, dataset, {"min_accuracy": 0.9}, tmp_path / "report")
    html = (tmp_path / "report").read_text()
    parser = Tags()
    parser.feed(html)
    assert not {"script", "img", "link", "iframe"} & {tag for tag, _ in parser.found}
    assert not [name for _, attributes in parser.found for name in attributes if name.startswith("on") or name == "src"]
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in html
    assert "{{ 7*7 }}" in html
    assert "Not blessed" in html


def run(artifact, model, dataset, gates):
    outputs = {name: artifact(name) for name in ("metrics", "confusion", "report")}
    inputs = {
        "model": artifact("model", model, labels=["ham", "spam"]),
        "dataset": artifact("dataset", dataset, fingerprint="f" * 64),
        "anomalies": artifact("anomalies"),
    }
    return component_body("evaluate", "evaluate")(**inputs, gates=gates, **outputs), outputs


def test_the_step_gives_the_same_scores_to_kubeflow_and_to_mlflow(store, artifact, model, dataset):
    blessed, outputs = run(artifact, model, dataset, {"min_accuracy": 0.1})
    assert blessed is True
    (step,) = tracking.children(store.client, store.parent)
    assert step.data.metrics == pytest.approx(outputs["metrics"].logged)
    assert {"accuracy", "macro_f1", "roc_auc", "log_loss", "f1_spam"} <= step.data.metrics.keys()
    assert outputs["confusion"].logged["confusion"][0] == ["ham", "spam"]
    logged = {item.path for item in store.client.list_artifacts(step.info.run_id)}
    assert logged == {"report.html", "confusion_matrix.png", "roc_curve.png"}
    parent = store.client.get_run(store.parent)
    assert parent.data.tags[tracking.VERDICT] == "BLESSED"
    assert parent.data.metrics["accuracy"] == step.data.metrics["accuracy"]


def test_a_gate_that_does_not_hold_is_a_verdict_and_no_error(store, artifact, model, dataset):
    blessed, outputs = run(artifact, model, dataset, {"min_accuracy": 1.0})
    assert blessed is False
    assert outputs["report"].metadata["summary"].endswith("< 1")
    assert store.client.get_run(store.parent).data.tags[tracking.VERDICT].startswith("NOT BLESSED: min_accuracy")
