"""The registered model in a process that knows nothing of Berth: loaded with MLflow alone, and served over HTTP."""

import contextlib
import json
import os
import socket
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path

import mlflow
import pytest

from berth.errors import BerthError
from berth.models import integrity
from berth.models.package import ModelInterface
from berth.registry.fetch import fetch
from berth.tracking import pipeline_run
from berth.tracking.step_run import step_run
from components.push.step import push_model
from tests.support.digits_model import LABELS, TRAIN_PYTHON
from tests.support.pushes import REQUIREMENTS, TAGS

_TIMEOUT_SECONDS = 120
"""Seconds for a server to start: TensorFlow takes some."""
TEXTS = ["hello", "win 100"]
PROBABILITIES = {"p(ham)": [0.8, 0.1], "p(spam)": [0.2, 0.9]}


@pytest.fixture(scope="module", autouse=True)
def registry(store_file):
    """This process, and those that it starts, use an MLflow store, and know nothing of a checkout."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{store_file}")
        patched.setenv("MLFLOW_RUN_ID", pipeline_run.create_parent("tests", "parent", {}))
        patched.setenv("TF_CPP_MIN_LOG_LEVEL", "3")
        patched.delenv("PYTHONPATH", raising=False)
        yield


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="module")
def pushed(registry, models) -> dict[str, str]:
    """The models:/ URIs of the models that were pushed, by kind; the labels of the last one were swapped afterwards."""
    uris = {}
    for kind, task in (("single", ""), ("pairs", ""), ("multi", "multi_label"), ("damaged", "")):
        interface = ModelInterface(LABELS, REQUIREMENTS, task or "single_label", kind == "pairs")
        with step_run("push"):
            model = models / kind.replace("damaged", "single")
            done = push_model(model, f"pyfunc-{kind}", "", interface, TAGS)
        uris[kind] = f"models:/{done.name}/{done.version}"
    stored_labels(uris["damaged"]).write_text("spam\nham\n")
    return uris


def stored_labels(uri: str) -> Path:
    """Return the labels' file of a model in the registry's store."""
    name, version = uri.removeprefix("models:/").split("/")
    stored = mlflow.MlflowClient().get_model_version_download_uri(name, version)
    (labels,) = Path(stored.removeprefix("file://")).rglob("labels.txt")
    return labels


_APPLICATION = """
import json, sys
import components
import mlflow
import pandas as pd
from mlflow.pyfunc import scoring_server

uris, texts, modules = json.loads(sys.argv[1])
assert components.OWN
sys.path.append(modules)
single, pairs, multi = (mlflow.pyfunc.load_model(uris[kind]) for kind in ("single", "pairs", "multi"))
frame = pd.DataFrame({"text": texts})
wide = pd.DataFrame({"id": ["win 1", "win 2"], "text": texts})
columns = {"id": [1, 2], "text": texts}
two = pd.DataFrame({"text": ["hello", "hello"], "text_pair": ["you", "2"]})
found = {
    "single": [single.predict(own) for own in (texts, frame, frame["text"], wide, columns)],
    "pairs": [pairs.predict(two), pairs.predict(two[["text_pair", "text"]])],
    "multi": [multi.predict(texts)],
}
answers = {kind: [answer.to_dict("list") for answer in own] for kind, own in found.items()}
for kind, call in (
    ("missing", lambda: single.predict(pd.DataFrame({"text": ["hello", None]}))),
    ("damaged", lambda: mlflow.pyfunc.load_model(uris["damaged"])),
):
    try:
        call()
    except Exception as error:
        answers[kind] = str(error)
answers["examples"] = [model.input_example.columns.tolist() for model in (single, pairs)]
schema = pairs.metadata.get_input_schema()
answers["served"] = [
    json.loads(scoring_server.invocations(json.dumps(request), "application/json", pairs, schema).response)
    for request in (
        {"inputs": two.to_dict("list")},
        {"dataframe_split": two.to_dict("split")},
    )
]
print(json.dumps(answers))
"""


@pytest.fixture(scope="module")
def answers(pushed, tmp_path_factory) -> dict:
    """What the models answer to an application that has a package `components` of its own.

    On its path is a module `random.py` too: a name of the standard library, which comes first. It takes 9 s: TensorFlow
    is imported once for all that is asked, and three models are loaded.
    """
    application = tmp_path_factory.mktemp("application")
    (application / "components").mkdir()
    (application / "components/__init__.py").write_text("OWN = True\n")
    (application / "modules").mkdir()
    (application / "modules/random.py").write_text("raise ImportError('not the standard library')\n")
    (application / "main.py").write_text(_APPLICATION)
    given = json.dumps([pushed, TEXTS, str(application / "modules")])
    done = subprocess.run(
        [str(TRAIN_PYTHON), "main.py", given], cwd=application, capture_output=True, text=True, timeout=_TIMEOUT_SECONDS
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_application_with_its_own_components_package_loads_it(answers):
    """It answers lists, frames, series and dictionaries with MLflow alone."""
    first, *same = answers["single"]
    assert same == [first] * 4, "the column named text is scored, wherever it is"
    assert first["label"] == ["ham", "spam"]
    assert first["probability"] == pytest.approx([0.8, 0.9])
    assert first["p(spam)"] == pytest.approx([0.2, 0.9])
    assert answers["multi"][0]["label"] == ["ham", "ham, spam"]
    assert answers["examples"] == [["text"], ["text", "text_pair"]]


def test_missing_texts_are_refused_with_their_row(answers):
    assert answers["missing"].startswith("1 of 2 texts missing in the input, the first in row 1. Give an empty text")


def test_second_texts_count_whatever_the_order_of_the_columns(answers):
    assert answers["pairs"][0] == answers["pairs"][1]
    assert answers["pairs"][0]["label"] == ["ham", "spam"]


def test_mlflow_serves_pairs(answers):
    """By the function that MLflow's server calls with the body of a request."""
    for served in answers["served"]:
        assert [row["label"] for row in served["predictions"]] == ["ham", "spam"]


@contextlib.contextmanager
def served(uri: str, log: Path):
    """Yield the address of `mlflow models serve` on the model, in the environment of the train image."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [str(TRAIN_PYTHON), "-m", "mlflow", "models", "serve", "--model-uri", uri, "--env-manager", "local"]
    environment = {**os.environ, "PATH": f"{TRAIN_PYTHON.parent}{os.pathsep}{os.environ['PATH']}"}
    with log.open("w") as stream:
        process = subprocess.Popen(
            [*command, "--host", "127.0.0.1", "--port", str(port)],
            stdout=stream,
            stderr=subprocess.STDOUT,
            env=environment,
            process_group=0,
        )
        try:
            deadline = time.monotonic() + _TIMEOUT_SECONDS
            while True:
                with contextlib.suppress(urllib.error.URLError, ConnectionError, TimeoutError):
                    urllib.request.urlopen(f"http://127.0.0.1:{port}/ping", timeout=5)
                    break
                assert process.poll() is None, log.read_text()
                assert time.monotonic() < deadline, log.read_text()
                time.sleep(0.2)
            yield f"http://127.0.0.1:{port}"
        finally:
            os.killpg(process.pid, 9)
            process.wait(20)


def ask(server: str, request: dict) -> dict[str, list]:
    """Return the columns that the server answers `request` with."""
    body = json.dumps(request).encode()
    posted = urllib.request.Request(f"{server}/invocations", body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(posted, timeout=30) as answer:
        rows = json.load(answer)["predictions"]
    return {key: [row[key] for row in rows] for key in rows[0]}


def test_mlflow_serves_it_to_every_form_of_json(pushed, tmp_path):  # 10 s: MLflow's server and the model are started
    with served(pushed["single"], tmp_path / "log") as server:
        for request in (
            {"inputs": TEXTS},
            {"dataframe_split": {"columns": ["text"], "data": [[text] for text in TEXTS]}},
            {"dataframe_records": [{"text": text} for text in TEXTS]},
            {"dataframe_split": {"columns": ["id", "text"], "data": [["win 1", TEXTS[0]], ["win 2", TEXTS[1]]]}},
            {"inputs": {"id": ["win 1", "win 2"], "text": TEXTS}},
            {"instances": [{"id": "win 1", "text": text} for text in TEXTS]},
        ):
            answer = ask(server, request)
            assert answer["label"] == ["ham", "spam"], request
            for column, values in PROBABILITIES.items():
                assert answer[column] == pytest.approx(values)
        for request in ({"inputs": ["hello", None]}, {"dataframe_records": [{"text": "hello"}, {"text": None}]}):
            with pytest.raises(urllib.error.HTTPError) as refused:
                ask(server, request)
            assert refused.value.code == 400
            assert "1 of 2 texts missing in the input, the first in row 1." in json.load(refused.value)["message"]


def test_mlflow_stores_the_sealed_folder_and_pinned_packages(pushed, models, tmp_path):
    folder = Path(mlflow.artifacts.download_artifacts(pushed["single"], dst_path=str(tmp_path / "fetched")))
    (saved_model,) = (path.parent for path in folder.rglob("saved_model.pb"))
    assert integrity.verify(saved_model) == integrity.verify(models / "single")
    assert (folder / "requirements.txt").read_text().split() == REQUIREMENTS


def test_damaged_stored_model_is_neither_loaded_nor_fetched(answers, pushed, tmp_path):
    assert "labels.txt is not as it was exported (SHA-256)" in answers["damaged"]
    uri = pushed["damaged"]
    match = "pyfunc-damaged version 1 in the registry's store is damaged: assets/labels"
    with pytest.raises(BerthError, match=match):
        fetch(uri, tmp_path / "fetched")
    saved_model = stored_labels(uri).parents[1]
    (saved_model / "SHA256SUMS").unlink()
    integrity.seal(saved_model)
    with pytest.raises(BerthError, match="is damaged: SHA256SUMS is not as it was pushed"):
        fetch(uri, tmp_path / "again")
