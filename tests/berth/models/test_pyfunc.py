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

import pytest

from berth.errors import BerthError
from berth.models import integrity
from berth.models.package import ModelInterface
from berth.registry.fetch import fetch
from berth.tracking.step_run import step_run
from components.push.step import push_model
from tests.support.digits_model import LABELS, TRAIN_PYTHON
from tests.support.pushes import REQUIREMENTS, TAGS

_TIMEOUT_SECONDS = 120
"""Seconds for a server to start: TensorFlow takes some."""
TEXTS = ["hello", "win 100"]
PROBABILITIES = {"p(ham)": [0.8, 0.1], "p(spam)": [0.2, 0.9]}


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    """Where there is no checkout."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("PYTHONPATH", raising=False)
    monkeypatch.setenv("TF_CPP_MIN_LOG_LEVEL", "3")


def pushed(store, models, kind: str) -> str:
    """Push a model of `kind` and return its models:/ URI."""
    interface = ModelInterface(
        LABELS, REQUIREMENTS, "multi_label" if kind == "multi" else "single_label", kind == "pairs"
    )
    with step_run("push"):
        done = push_model(models / kind, f"pyfunc-{kind}", "", interface, TAGS)
    return f"models:/{done.name}/{done.version}"


def test_it_answers_lists_frames_and_series_with_mlflow_alone(store, models):
    uris = {kind: pushed(store, models, kind) for kind in ("single", "pairs", "multi")}
    code = f"""
import json, mlflow, pandas as pd
uris, texts = {uris!r}, {TEXTS!r}
single, pairs, multi = (mlflow.pyfunc.load_model(uri) for uri in uris.values())
frame = pd.DataFrame({{"text": texts}})
wide = pd.DataFrame({{"id": ["win 1", "win 2"], "text": texts}})
columns = {{"id": [1, 2], "text": texts}}
answers = [single.predict(own) for own in (texts, frame, frame["text"], wide, columns)] + [multi.predict(texts)]
two = pd.DataFrame({{"text": ["hello", "hello"], "text_pair": ["you", "2"]}})
answers += [pairs.predict(two), pairs.predict(two[["text_pair", "text"]])]
print(json.dumps([answer.to_dict("list") for answer in answers]))
try:
    single.predict(pd.DataFrame({{"text": ["hello", None]}}))
except mlflow.MlflowException as error:
    print(json.dumps(str(error)))
print(json.dumps([model.input_example.columns.tolist() for model in (single, pairs)]))
"""
    done = subprocess.run([str(TRAIN_PYTHON), "-c", code], capture_output=True, text=True, timeout=_TIMEOUT_SECONDS)
    assert done.returncode == 0, done.stderr
    answers, refused, examples = map(json.loads, done.stdout.splitlines()[-3:])
    first, *same = answers[:5]
    assert same == [first] * 4, "the column named text is scored, wherever it is"
    assert first["label"] == ["ham", "spam"]
    assert first["probability"] == pytest.approx([0.8, 0.9])
    assert first["p(spam)"] == pytest.approx([0.2, 0.9])
    assert answers[5]["label"] == ["ham", "ham, spam"]
    assert answers[6] == answers[7]
    assert answers[6]["label"] == ["ham", "spam"], "the second texts count, whatever the order of the columns"
    assert refused.startswith("1 of 2 texts missing in the input, the first in row 1. Give an empty text")
    assert examples == [["text"], ["text", "text_pair"]]


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


def test_mlflow_serves_it_to_every_form_of_json(store, models, tmp_path):
    with served(pushed(store, models, "single"), tmp_path / "log") as server:
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


def test_mlflow_serves_pairs(store, models, tmp_path):
    rows = [["hello", "you"], ["hello", "2"]]
    with served(pushed(store, models, "pairs"), tmp_path / "log") as server:
        for request in (
            {"inputs": {"text": ["hello", "hello"], "text_pair": ["you", "2"]}},
            {"dataframe_split": {"columns": ["text", "text_pair"], "data": rows}},
        ):
            assert ask(server, request)["label"] == ["ham", "spam"], request


def test_mlflow_stores_the_sealed_folder_and_pinned_packages(store, models, tmp_path):
    import mlflow

    uri = pushed(store, models, "single")
    folder = Path(mlflow.artifacts.download_artifacts(uri, dst_path=str(tmp_path / "fetched")))
    (saved_model,) = (path.parent for path in folder.rglob("saved_model.pb"))
    assert integrity.verify(saved_model) == integrity.verify(models / "single")
    assert (folder / "requirements.txt").read_text().split() == REQUIREMENTS


def test_damaged_stored_model_is_neither_loaded_nor_fetched(store, models, tmp_path):
    uri = pushed(store, models, "single")
    name, version = uri.removeprefix("models:/").split("/")
    stored = Path(store.client.get_model_version_download_uri(name, version).removeprefix("file://"))
    (labels,) = stored.rglob("labels.txt")
    labels.write_text("spam\nham\n")
    code = f"import mlflow; mlflow.pyfunc.load_model({uri!r})"
    done = subprocess.run([str(TRAIN_PYTHON), "-c", code], capture_output=True, text=True, timeout=_TIMEOUT_SECONDS)
    assert done.returncode == 1
    assert "labels.txt is not as it was exported (SHA-256)" in done.stderr
    with pytest.raises(BerthError, match=f"{name} version {version} in the registry's store is damaged: assets/labels"):
        fetch(uri, tmp_path / "fetched")
    (labels.parents[1] / "SHA256SUMS").unlink()
    integrity.seal(labels.parents[1])
    with pytest.raises(BerthError, match="is damaged: SHA256SUMS is not as it was pushed"):
        fetch(uri, tmp_path / "again")


def test_application_with_its_own_components_package_loads_it(store, models, tmp_path):
    """So does one with a module `random.py` on its path: a name of the standard library, which comes first."""
    application = tmp_path / "application"
    (application / "components").mkdir(parents=True)
    (application / "components/__init__.py").write_text("OWN = True\n")
    (tmp_path / "modules").mkdir()
    (tmp_path / "modules/random.py").write_text("raise ImportError('not the standard library')\n")
    (application / "main.py").write_text(f"""
import sys
import components
import mlflow
sys.path.append({str(tmp_path / "modules")!r})
assert components.OWN
print(mlflow.pyfunc.load_model({pushed(store, models, "single")!r}).predict({TEXTS!r})["label"].tolist())
""")
    done = subprocess.run(
        [str(TRAIN_PYTHON), str(application / "main.py")], capture_output=True, text=True, timeout=_TIMEOUT_SECONDS
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "['ham', 'spam']"
