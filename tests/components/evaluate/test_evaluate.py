"""The evaluate step on a real SavedModel: a classifier that calls whatever holds a digit spam."""

import csv
import io
import json
import shutil
import stat
import sys
import textwrap
from html.parser import HTMLParser
from pathlib import Path

import mlflow
import pytest

from berth.data.dataset import Manifest
from berth.errors import BerthError
from berth.models.saved_model import load
from berth.settings import Evaluation
from berth.tracking import run_tree, tags
from components.evaluate import report
from components.evaluate.step import evaluate_model
from tests.components.evaluate.conftest import export, note, of_digits
from tests.support.datasets import component_body, write_dataset

ROOT = Path(__file__).parents[3]
SETTINGS = Evaluation(resamples=1_000, min_slice_size=5)


def judge(model, dataset, predictions, bounds, name="digits", settings=SETTINGS):
    return evaluate_model(model, dataset, predictions, model_name=name, bounds=bounds, settings=settings)


def crown(store, model: Path, name: str) -> str:
    """Register the SavedModel `model` as the champion of `name`, as push does."""
    experiment = store.client.get_run(store.parent).info.experiment_id
    with mlflow.start_run(run_id=store.client.create_run(experiment).info.run_id):
        logged = mlflow.pyfunc.log_model(
            name="model", loader_module="berth.models.saved_model", data_path=str(model), pip_requirements=[]
        )
    version = str(mlflow.register_model(logged.model_uri, name).version)
    store.client.set_registered_model_alias(name, tags.CHAMPION, version)
    return version


def test_the_loader_keeps_the_order_of_texts_and_takes_none(model):
    classifier = load(model)
    labels, probabilities = classifier.predict(["a long text without", "1", "", "2 more\nlines"], batch_size=2)
    assert labels == ["ham", "spam", "ham", "spam"]
    assert probabilities.shape == (4, 2)
    assert classifier.predict([])[1].shape == (0, 2)


def test_a_folder_that_berth_did_not_export_is_refused(tmp_path):
    with pytest.raises(BerthError, match="not a model that Berth exported"):
        load(tmp_path)


def test_a_changed_model_is_refused_before_it_is_loaded(fresh_process, model, store, dataset, noted, tmp_path):
    copy = shutil.copytree(model, tmp_path / "copy")
    (copy / "saved_model.pb").write_bytes(b"\xff\xff")
    with pytest.raises(BerthError, match=r"saved_model\.pb is not as it was exported"):
        judge(copy, dataset, noted, {"min_accuracy": 0.5})


def test_real_messages_are_scored_and_judged(fresh_process, store, model, dataset, noted, real_rows):
    judgement = judge(model, dataset, noted, {"min_accuracy": 0.5})
    right = sum((label == "spam") == any(map(str.isdigit, text)) for text, label in real_rows["test"])
    own = judgement.challenger
    assert own.evaluation.scores["accuracy"] == right / 40
    assert own.intervals["accuracy"].low < right / 40 <= own.intervals["accuracy"].high
    assert judgement.verdict.blessed
    assert len(judgement.mistakes) == 40 - right
    assert judgement.served.problems == []
    assert judgement.served.p95_ms >= judgement.served.p50_ms > 0
    assert judgement.served.size_mb > 0
    assert "baseline" in judgement.models
    assert judgement.champion is None


def test_the_threshold_that_the_model_carries_decides(store, dataset, tmp_path):
    strict = export(tmp_path / "strict/model", ["ham", "spam"], of_digits(), threshold=0.95)
    noted = note(strict, dataset, tmp_path / "noted.parquet")
    judgement = judge(strict, dataset, noted, {"min_accuracy": 0.5})
    assert judgement.served.threshold == 0.95
    assert [scores.recall for scores in judgement.challenger.evaluation.classes] == [1, 0]


def test_a_champion_of_the_same_files_is_no_better_and_no_worse(store, model, dataset, noted):
    version = crown(store, model, "same")
    judgement = judge(model, dataset, noted, {"max_drop": 0.0}, "same")
    change = judgement.models["champion"].change["macro_f1"]
    assert (change.value, change.low, change.high) == (0, 0, 0)
    assert judgement.models["champion"].mcnemar == 1
    assert judgement.verdict.blessed
    assert judgement.champion.version == version
    assert judgement.findings[0] == "The champion is this very model, file by file."


def test_worse_model_is_not_blessed_and_slice_is_named(store, model, real_rows, tmp_path):
    """On 320 texts: the few spam messages of 40 could not show for certain that a slice is worse."""
    rows = real_rows | {"test": real_rows["train"]}
    dataset = write_dataset(tmp_path / "larger", rows, ["ham", "spam"])
    crown(store, model, "better")
    worse = export(tmp_path / "worse/model", ["ham", "spam"], of_digits(0.3, 0.2))
    noted = note(worse, dataset, tmp_path / "noted.parquet")
    judgement = judge(worse, dataset, noted, {"max_drop": 0.01, "max_slice_drop": 0.1}, "better")
    assert not judgement.verdict.blessed
    drop, slice_drop, _ = judgement.verdict.gates
    assert (drop.name, drop.outcome) == ("max_drop", "fail")
    assert drop.words.startswith("macro_f1 -0.")
    assert slice_drop.outcome == "fail"
    assert "in label spam" in slice_drop.words
    assert judgement.models["champion"].change["accuracy"].value < 0


def test_without_a_champion_relative_gates_are_skipped_and_said(store, model, dataset, noted):
    judgement = judge(model, dataset, noted, {"max_drop": 0.01, "max_slice_drop": 0.01, "min_accuracy": 0.1}, "new")
    outcomes = {gate.name: (gate.outcome, gate.words) for gate in judgement.verdict.gates}
    assert outcomes["max_drop"] == ("skipped", "skipped: there is no champion yet")
    assert judgement.verdict.blessed


def test_label_sets_that_differ_are_handled_and_said(store, dataset, model, tmp_path):
    def three(text):
        import tensorflow as tf

        two = of_digits()(text)
        return tf.concat([two * 0.9, tf.fill([tf.shape(two)[0], 1], 0.1)], -1)

    crown(store, export(tmp_path / "old/model", ["eggs", "ham", "spam"], three), "renamed")
    noted = note(model, dataset, tmp_path / "noted.parquet")
    judgement = judge(model, dataset, noted, {"max_drop": 0.5}, "renamed")
    assert any("Only the champion knows the label eggs" in finding for finding in judgement.findings)
    champion = judgement.models["champion"].evaluation
    assert champion.scores["accuracy"] < judgement.challenger.evaluation.scores["accuracy"]


def test_broken_champion_fails_relative_gates_only(store, model, dataset, noted, tmp_path):
    copy = shutil.copytree(model, tmp_path / "damaged")
    (copy / "assets/labels.txt").write_text("spam\nham\n")
    crown(store, copy, "damaged")
    judgement = judge(model, dataset, noted, {"min_accuracy": 0.1, "max_drop": 0.5}, "damaged")
    outcomes = {gate.name: gate.outcome for gate in judgement.verdict.gates}
    assert outcomes == {"min_accuracy": "pass", "max_drop": "fail", "serving_check": "pass"}
    assert "cannot be asked" in str(judgement.verdict)


def test_champions_nan_is_not_blamed_on_the_challenger(store, model, dataset, noted, tmp_path):
    crown(store, export(tmp_path / "nan/model", ["ham", "spam"], of_digits(float("nan"), float("nan"))), "nan")
    judgement = judge(model, dataset, noted, {"min_accuracy": 0.1}, "nan")
    assert judgement.verdict.blessed
    assert any("gives probabilities that are not numbers" in finding for finding in judgement.findings)


def test_export_that_differs_from_training_is_not_blessed(store, model, dataset, tmp_path):
    noted = note(model, dataset, tmp_path / "shifted.parquet", shift=0.001)
    verdict = judge(model, dataset, noted, {"min_accuracy": 0.1}).verdict
    assert not verdict.blessed
    assert "serving_check answers edge cases differently than in training, by 1.1e-02 in the logits" in str(verdict)


def test_an_edge_case_that_breaks_the_model_is_named(store, dataset, tmp_path):
    def fragile(text):
        import tensorflow as tf

        tf.debugging.assert_positive(tf.strings.length(text), message="nothing to read")
        return of_digits()(text)

    model = export(tmp_path / "fragile/model", ["ham", "spam"], fragile)
    sound = export(tmp_path / "sound/model", ["ham", "spam"], of_digits())
    noted = note(sound, dataset, tmp_path / "noted.parquet")
    verdict = judge(model, dataset, noted, {"min_accuracy": 0.1}).verdict
    assert "serving_check fails on the empty text" in str(verdict)


STAND_IN = """
    #!{python}
    # What TensorFlow Serving does of its REST interface, on the real SavedModel: no package of it can be had here.
    import http.server, json, os, sys
    os.environ["TF_USE_LEGACY_KERAS"] = "1"
    arguments = dict(argument.lstrip("-").split("=", 1) for argument in sys.argv[1:])
    import tensorflow as tf, tensorflow_text
    model = tf.saved_model.load(arguments["model_base_path"] + "/1")

    class Handler(http.server.BaseHTTPRequestHandler):
        def answer(self, body):
            data = json.dumps(body).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)
        def do_GET(self):
            self.answer({{"model_version_status": [{{"version": "1", "state": "AVAILABLE"}}]}})
        def do_POST(self):
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            given = {{name: tf.constant(values) for name, values in asked["inputs"].items()}}
            found = model.signatures[asked["signature_name"]](**given)
            self.answer({{"outputs": {{"probabilities": (found["probabilities"].numpy() + {shift}).tolist()}}}})

    http.server.HTTPServer(("127.0.0.1", int(arguments["rest_api_port"])), Handler).serve_forever()
"""


@pytest.mark.parametrize(("shift", "problem"), [(0.0, ""), (0.01, "TensorFlow Serving answers edge cases differently")])
def test_tensorflow_serving_gets_the_same_requests(store, model, dataset, noted, tmp_path, shift, problem):
    """Where it is configured."""
    binary = tmp_path / "tensorflow_model_server"
    binary.write_text(textwrap.dedent(STAND_IN).lstrip().format(python=sys.executable, shift=shift))
    binary.chmod(binary.stat().st_mode | stat.S_IXUSR)
    settings = SETTINGS.model_copy(update={"tensorflow_serving": str(binary)})
    served = judge(model, dataset, noted, {"min_accuracy": 0.1}, settings=settings).served
    assert "; ".join(served.problems).startswith(problem)
    assert bool(served.problems) == bool(problem)


def test_a_tensorflow_serving_that_is_not_there_is_said(store, model, dataset, noted):
    settings = SETTINGS.model_copy(update={"tensorflow_serving": "/nowhere/tensorflow_model_server"})
    served = judge(model, dataset, noted, {"min_accuracy": 0.1}, settings=settings).served
    assert served.problems[0].startswith("TensorFlow Serving does not answer")


def test_several_labels_are_scored_per_label(store, tmp_path):
    def each(text):
        import tensorflow as tf

        digit = tf.where(tf.strings.regex_full_match(text, r".*\d.*"), 0.9, 0.1)
        return tf.stack([digit, tf.where(tf.strings.regex_full_match(text, r".*!.*"), 0.8, 0.2)], -1)

    rows = [("call 1", ["digit"]), ("call 2!", ["digit", "shout"]), ("hey!", ["shout"]), ("hey", [])] * 6
    dataset = write_dataset(
        tmp_path / "dataset", {"train": rows, "validation": rows, "test": rows}, ["digit", "shout"], task="multi_label"
    )
    model = export(tmp_path / "each/model", ["digit", "shout"], each, task="multi_label")
    noted = note(model, dataset, tmp_path / "noted.parquet")
    judgement = judge(model, dataset, noted, {"min_macro_f1": 0.99})
    assert judgement.verdict.blessed
    scores = judgement.challenger.evaluation.scores
    assert scores["accuracy"] == scores["macro_f1"] == scores["pr_auc"] == 1
    assert "mcc" not in scores
    assert judgement.models["baseline"].evaluation.scores["macro_f1"] > 0.5
    html = report.render(judgement, Manifest.read(dataset), 0.95)
    assert "Confusion matrix" not in html


def test_slices_are_the_columns_that_were_passed_through(store, model, tmp_path):
    rows = {
        split: [(f"text {'1' if spam else 'x'} {i}x"[: -1 if spam else 6], "spam" if spam else "ham")
                for i, spam in enumerate([True, False] * 20)]
        for split in ("train", "validation", "test")
    }  # fmt: skip
    country = [["de", "fr"][i % 3 == 0] for i in range(40)]
    dataset = write_dataset(tmp_path / "dataset", rows, ["ham", "spam"], country=country)
    noted = note(model, dataset, tmp_path / "noted.parquet")
    names = {one.name: one.texts for one in judge(model, dataset, noted, {"min_accuracy": 0.1}).slices}
    assert names["country de"] == 26
    assert names["country fr"] == 14
    assert {"label ham", "label spam"} <= names.keys()


class Tags(HTMLParser):
    def __init__(self):
        super().__init__()
        self.found: list[tuple[str, dict]] = []

    def handle_starttag(self, tag, attributes):
        self.found.append((tag, dict(attributes)))


def test_report_with_hostile_text_runs_and_loads_nothing(store, model, tmp_path):
    hostile = "<script>alert(1)</script> 1 <img src=x onerror=alert(2)> {{ 7*7 }}"
    rows = {
        "train": [("a", "ham"), ("b 1", "spam"), ("=1+1 <script>alert(3)</script>", "ham")],
        "validation": [("b", "ham")],
        "test": [(hostile, "ham"), ("1", "spam")],
    }
    dataset = write_dataset(tmp_path / "dataset", rows, ["ham", "spam"], **{"<b>": ["x", "<script>"]})
    noted = note(model, dataset, tmp_path / "noted.parquet")
    settings = Evaluation(resamples=1_000, min_slice_size=2)
    judgement = judge(model, dataset, noted, {"min_accuracy": 0.9}, settings=settings)
    html = report.render(judgement, Manifest.read(dataset), 0.95)
    parser = Tags()
    parser.feed(html)
    assert not {"script", "img", "link", "iframe"} & {tag for tag, _ in parser.found}
    assert not [name for _, attributes in parser.found for name in attributes if name.startswith("on") or name == "src"]
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in html
    assert "&lt;script&gt;alert(3)&lt;/script&gt;" in html
    assert "{{ 7*7 }}" in html
    assert "Not blessed" in html


def run(artifact, model, dataset, noted, gates, **names):
    outputs = {name: artifact(name) for name in ("metrics", "confusion", "report", "mistakes")}
    inputs = {
        "model": artifact("model", model, labels=["ham", "spam"]),
        "dataset": artifact("dataset", dataset, fingerprint="f" * 64),
        "predictions": artifact("predictions", noted),
        "anomalies": artifact("anomalies"),
    }
    names = {
        "name": "by-step",
        "model_name": "",
        "evaluation": {"resamples": 1000.0},
        "positive_label": "",
        "behaviour": "",
    } | names
    return component_body("evaluate", "evaluate")(**inputs, **names, gates=gates, **outputs), outputs


def test_kubeflow_and_mlflow_get_the_same_scores(store, artifact, model, dataset, noted):
    blessed, outputs = run(artifact, model, dataset, noted, {"min_accuracy": 0.1})
    assert blessed is True
    (step,) = run_tree.children(store.client, store.parent)
    assert step.data.metrics == pytest.approx(outputs["metrics"].logged)
    assert {"accuracy", "macro_f1", "roc_auc", "log_loss", "f1_spam", "baseline/accuracy"} <= step.data.metrics.keys()
    assert outputs["confusion"].logged["confusion"][0] == ["ham", "spam"]
    logged = {item.path for item in store.client.list_artifacts(step.info.run_id)}
    assert logged == {"report.html", "mistakes.csv", "suspects.json", "confusion_matrix.png", "roc_curve.png"}
    parent = store.client.get_run(store.parent)
    assert parent.data.tags[tags.VERDICT] == "BLESSED"
    assert parent.data.metrics["accuracy"] == step.data.metrics["accuracy"]
    assert json.loads(outputs["report"].metadata["gates"])[0]["outcome"] == "pass"


def test_mistakes_are_a_table_that_no_spreadsheet_runs(store, artifact, model, tmp_path):
    rows = {
        "train": [("plain", "ham"), ("win 1", "spam"), ("=cmd() 1", "ham")],
        "validation": [("b", "ham"), ("c 1", "ham"), ("d", "ham")],
        "test": [("-1\nnext line", "ham"), ("fine", "ham"), ("1", "spam")],
    }
    dataset = write_dataset(tmp_path / "rows", rows, ["ham", "spam"])
    noted = note(model, dataset, tmp_path / "noted.parquet")
    _, outputs = run(artifact, model, dataset, noted, {"min_accuracy": 0.1})
    found = list(csv.DictReader(io.StringIO(Path(outputs["mistakes"].path).read_text())))
    assert [(row["kind"], row["split"], row["row"], row["true"]) for row in found] == [
        ("mistake", "test", "0", "ham"),
        ("suspect", "train", "2", "ham"),
        ("suspect", "validation", "1", "ham"),
    ]
    assert found[0]["text"] == "'-1\\nnext line"
    assert found[1]["text"] == "'=cmd() 1"
    assert '<td>validation</td><td class="text">c 1</td>' in Path(outputs["report"].path).read_text()


def test_a_gate_that_does_not_hold_is_a_verdict_and_no_error(store, artifact, model, dataset, noted):
    blessed, outputs = run(artifact, model, dataset, noted, {"min_accuracy": 1.0})
    assert blessed is False
    assert outputs["report"].metadata["summary"].endswith("< 1")
    assert store.client.get_run(store.parent).data.tags[tags.VERDICT].startswith("NOT BLESSED: min_accuracy")
