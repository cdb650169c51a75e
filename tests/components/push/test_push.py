"""Pushing a SavedModel from an environment without TensorFlow, to a real MLflow store and a real folder."""

import json
import os
import subprocess
from pathlib import Path

import pytest

from components.common import tracking
from components.common.errors import BerthError
from components.push import serving
from components.push.step import push_model
from tests.components.conftest import component_body

ROOT = Path(__file__).parents[3]
TRAIN_PYTHON = ROOT / ".venv/train/bin/python"
TAGS = {"berth.run_id": "r"}

MAKE_MODEL = """
import sys, tensorflow as tf
from pathlib import Path
folder = Path(sys.argv[1])
(folder.parent / "labels.txt").write_text("ham\\nspam\\n")
@tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="text")])
def serve(text):
    spam = tf.where(tf.strings.regex_full_match(text, r"(?s).*[0-9].*"), 0.9, 0.2)
    return {"label": tf.where(spam > 0.5, "spam", "ham"), "probabilities": tf.stack([1 - spam, spam], -1)}
root = tf.Module()
root.labels = tf.saved_model.Asset(str(folder.parent / "labels.txt"))
tf.saved_model.save(root, str(folder), signatures={"serving_default": serve})
"""


@pytest.fixture(scope="session")
def model(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("digits") / "model"
    subprocess.run([str(TRAIN_PYTHON), "-c", MAKE_MODEL, str(folder)], check=True, capture_output=True)
    return folder


@pytest.fixture
def push(store, model, request):
    """Return a function that pushes the model under a step's run, to a model name of the test's own."""
    name = request.node.name.replace("_", "-")[:60].rstrip("-")

    def push(push_to: str | Path = ""):
        with tracking.step_run("push"):
            return push_model(model, name, str(push_to), ["ham", "spam"], ["tensorflow", "mlflow"], TAGS)

    push.name = name
    return push


def champion(store, name: str) -> str:
    return str(store.client.get_model_version_by_alias(name, "champion").version)


def test_each_push_is_a_new_version_and_the_champion(store, push, model, tmp_path):
    for version in ("1", "2"):
        done = push(tmp_path / "serving")
        assert (done.version, champion(store, push.name)) == (version, version)
        assert store.client.get_model_version(push.name, version).tags == TAGS
    folder = tmp_path / "serving" / push.name
    assert sorted(path.name for path in folder.iterdir()) == ["1", "2"]
    for path in model.rglob("*"):
        if path.is_file():
            assert (folder / "2" / path.relative_to(model)).read_bytes() == path.read_bytes()


def test_the_registered_model_answers_with_mlflow_alone(store, push, tmp_path):
    push()
    code = (
        "import json, mlflow, pandas as pd\n"
        f"model = mlflow.pyfunc.load_model('models:/{push.name}@champion')\n"
        "answers = [model.predict(['hello', 'win 100']), model.predict(pd.DataFrame({'text': ['hello', 'win 100']}))]\n"
        "print(json.dumps([answer.to_dict('list') for answer in answers]))\n"
        "print(model.metadata.signature.inputs.to_json(), model.input_example is not None)\n"
    )
    environment = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "MLFLOW_RUN_ID")}
    done = subprocess.run(
        [str(TRAIN_PYTHON), "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    answers, signature = done.stdout.splitlines()[-2:]
    from_list, from_frame = json.loads(answers)
    assert from_list == from_frame
    assert from_list["label"] == ["ham", "spam"]
    assert from_list["probability"] == pytest.approx([0.8, 0.9])
    assert from_list["p(spam)"] == pytest.approx([0.2, 0.9])
    assert '"type": "string"' in signature
    assert signature.endswith("True")


@pytest.mark.parametrize("push_to", ["/proc/berth", "s3://bucket/models"])
def test_a_folder_that_cannot_take_it_leaves_no_version(store, push, push_to):
    with pytest.raises(BerthError, match="push_to: "):
        push(push_to)
    assert not store.client.search_model_versions(f"name = '{push.name}'")


def test_a_file_in_the_way_is_said(push, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(BerthError, match=r"push_to: .*file.* cannot be written"):
        push(tmp_path / "file")


def test_a_folder_of_another_registry_is_not_overwritten_and_the_version_is_withdrawn(store, push, tmp_path):
    taken = tmp_path / "serving" / push.name / "1"
    taken.mkdir(parents=True)
    (taken / "saved_model.pb").write_text("theirs")
    with pytest.raises(BerthError, match="is there already, from another model registry"):
        push(tmp_path / "serving")
    assert (taken / "saved_model.pb").read_text() == "theirs"
    assert not store.client.search_model_versions(f"name = '{push.name}'")
    assert [path.name for path in taken.parent.iterdir()] == ["1"]


def test_a_failed_push_leaves_the_champion_in_place(store, push, tmp_path):
    push(tmp_path / "serving")
    (tmp_path / "serving" / push.name / "2").mkdir()
    with pytest.raises(BerthError):
        push(tmp_path / "serving")
    assert champion(store, push.name) == "1"


def test_what_a_killed_push_left_is_cleared_and_what_a_running_one_writes_is_not(tmp_path):
    folder = serving.prepare(str(tmp_path), "m")
    dead = subprocess.Popen(["true"])
    dead.wait()
    for pid in (dead.pid, 1):
        (folder / f".incoming-{pid}").mkdir()
    serving.prepare(str(tmp_path), "m")
    assert [path.name for path in folder.iterdir()] == [".incoming-1"]


def test_the_step_says_which_version_users_now_get(store, artifact, model, tmp_path):
    inputs = {
        "model": artifact("model", model, labels=["ham", "spam"], requirements=["tensorflow", "mlflow"]),
        "dataset": artifact("dataset", fingerprint="f" * 64),
        "report": artifact("report", verdict="BLESSED"),
    }
    pushed = artifact("pushed")
    component_body("push", "push")(
        **inputs,
        name="by-step",
        model_name="",
        push_to=str(tmp_path / "serving"),
        settings_digest="s",
        pushed=pushed,
    )
    assert pushed.metadata["summary"] == "by-step version 1 is champion"
    assert pushed.metadata["folder"] == str(tmp_path / "serving/by-step/1")
    assert json.loads(Path(pushed.path).read_text())["version"] == "1"
    version = store.client.get_model_version("by-step", "1")
    assert version.tags["berth.run_id"] == store.parent
    assert store.client.get_run(store.parent).data.tags["berth.model_version"] == "by-step/1"
