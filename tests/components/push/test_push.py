"""Pushing a SavedModel from an environment without TensorFlow, to a real MLflow store and a real folder."""

import functools
import json
import shutil
from pathlib import Path

import mlflow
import pytest

from berth.data.dataset import Manifest
from berth.data.seen_texts import FILE, SeenTexts
from berth.errors import BerthError
from berth.registry import serving_folder, versions
from berth.tracking.artifacts import packed
from components.push import step
from tests.support.datasets import component_body, write_dataset
from tests.support.pushes import REQUIREMENTS, TAGS, served


def test_each_push_is_a_new_version_and_the_champion(store, push, aliases, name, model, tmp_path):
    """The old champion becomes `previous`."""
    for version in (1, 2):
        done = push(tmp_path / "serving")
        assert (done.version, done.champion, done.blessed) == (version, version, True)
        assert aliases()["champion"] == version
        tags = store.client.get_model_version(name, str(version)).tags
        assert tags.items() >= TAGS.items()
        assert tags["berth.published"] == "yes"
        assert tags["berth.serving_folder"] == str(tmp_path / "serving" / name)
    assert aliases() == {"champion": 2, "previous": 1}
    assert store.client.get_model_version(name, "2").current_stage == "None"
    folder = tmp_path / "serving" / name
    assert served(folder) == ["1", "2"]
    for path in model.rglob("*"):
        if path.is_file():
            assert (folder / "2" / path.relative_to(model)).read_bytes() == path.read_bytes()


def test_unblessed_model_is_the_challenger(push, refuse, aliases, name, tmp_path):
    """Users notice nothing."""
    assert str(refuse()) == f"{name} version 1 is challenger; there is no champion"
    push(tmp_path)
    assert str(refuse(tmp_path)) == f"{name} version 3 is challenger; version 2 stays champion"
    assert aliases() == {"champion": 2, "challenger": 3}
    assert served(tmp_path / name) == ["2"]
    push(tmp_path)
    assert aliases() == {"champion": 4, "previous": 2, "challenger": 3}


@pytest.mark.parametrize(
    "push_to", ["/proc/berth", "s3://bucket/models", "ftp://host/models", "s3://", "s3:///models", "http://host/"]
)
def test_a_folder_that_cannot_take_it_leaves_no_version(store, push, name, push_to, monkeypatch):
    for key, value in (("AWS_ACCESS_KEY_ID", "k"), ("AWS_SECRET_ACCESS_KEY", "very-secret")):
        monkeypatch.setenv(key, value)
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    with pytest.raises(BerthError, match="push_to: ") as caught:
        push(push_to)
    assert "secret" not in str(caught.value)
    assert not store.client.search_model_versions(f"name = '{name}'")


def test_a_file_in_the_way_is_said(push, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(BerthError, match=r"push_to: .*file.* cannot be written"):
        push(tmp_path / "file")


@pytest.mark.parametrize("theirs", ["1", "7"])
def test_folder_of_another_registry_is_not_overwritten(store, push, name, tmp_path, theirs):
    """The new version is withdrawn."""
    taken = tmp_path / "serving" / name / theirs
    taken.mkdir(parents=True)
    (taken / "saved_model.pb").write_text("theirs")
    with pytest.raises(BerthError, match=f"/{theirs} is there already, from another model registry"):
        push(tmp_path / "serving")
    assert (taken / "saved_model.pb").read_text() == "theirs"
    assert not store.client.search_model_versions(f"name = '{name}'")
    assert served(taken.parent) == [theirs]


def test_a_failed_push_leaves_the_champion_in_place(push, aliases, name, tmp_path):
    push(tmp_path / "serving")
    (tmp_path / "serving" / name / "2").mkdir()
    with pytest.raises(BerthError):
        push(tmp_path / "serving")
    assert aliases() == {"champion": 1}


def test_tampered_model_is_neither_pushed_nor_registered(store, push, refuse, name, model, tmp_path):
    spoiled = Path(shutil.copytree(model, tmp_path / "spoiled"))
    (spoiled / "assets/labels.txt").write_text("spam\nham\n")
    with pytest.raises(BerthError, match=r"labels\.txt is not as it was exported"):
        push(tmp_path / "serving", of=spoiled)
    assert not store.client.search_model_versions(f"name = '{name}'")
    assert not (tmp_path / "serving").exists()


def test_folder_keeps_newest_versions_registry_keeps_all(store, push, name, tmp_path):
    (tmp_path / name).mkdir()
    (tmp_path / name / "notes.txt").write_text("of somebody else")
    for _ in range(4):
        push(tmp_path, keep=2)
    assert sorted(path.name for path in (tmp_path / name).glob("[!.]*")) == ["3", "4", "notes.txt"]
    assert len(store.client.search_model_versions(f"name = '{name}'")) == 4
    push(tmp_path, keep=1)
    assert sorted(path.name for path in (tmp_path / name).glob("[!.]*")) == ["5", "notes.txt"]


def test_old_version_that_cannot_be_removed_is_a_warning(push, aliases, name, tmp_path, monkeypatch, capsys):
    """Later pushes go on."""
    rmtree = shutil.rmtree

    def fail(path, *arguments, **options):
        if ".outgoing-" in str(path):
            raise PermissionError(13, "Permission denied")
        rmtree(path, *arguments, **options)

    monkeypatch.setattr(shutil, "rmtree", fail)
    push(tmp_path, keep=1)
    assert push(tmp_path, keep=1).champion == 2
    assert "warning: an old version could not be removed: push_to: " in capsys.readouterr().err
    assert push(tmp_path, keep=1).champion == 3
    assert "warning: leftovers of an earlier push stay: push_to: " in capsys.readouterr().err
    assert aliases() == {"champion": 3, "previous": 2}
    assert served(tmp_path / name) == ["3"]


@pytest.mark.parametrize(("owner", "after"), [(versions, "converge"), (step, "retain")])
def test_retry_finishes_a_push_that_failed_after_publishing(
    store, push, aliases, name, tmp_path, monkeypatch, owner, after
):
    push(tmp_path)
    with monkeypatch.context() as patched:
        patched.setattr(owner, after, lambda *_: (_ for _ in ()).throw(ConnectionError("the registry is busy")))
        with pytest.raises(ConnectionError):
            push(tmp_path, run_id="retried")
    done = push(tmp_path, run_id="retried")
    assert (done.version, done.champion, done.folder) == (2, 2, str(tmp_path / name / "2"))
    assert aliases() == {"champion": 2, "previous": 1}
    assert served(tmp_path / name) == ["1", "2"]
    assert push(tmp_path, run_id="another").version == 3


def test_hidden_leftovers_are_cleared_under_the_lock(tmp_path):
    """Not while another push is at work."""
    folder = serving_folder.serving_folder(str(tmp_path), "m")
    folder.prepare()
    for left in (".incoming-3", ".outgoing-1"):
        (tmp_path / "m" / left).mkdir()
    with folder.locked():
        folder.sweep()
    assert [path.name for path in (tmp_path / "m").iterdir()] == [".lock"]


def test_a_push_that_never_ends_is_said_after_a_bounded_wait(tmp_path, monkeypatch):
    from berth.registry import local_folder

    monkeypatch.setattr(local_folder, "_TIMEOUT_SECONDS", 0.3)
    folder = serving_folder.serving_folder(str(tmp_path), "m")
    folder.prepare()
    other = serving_folder.serving_folder(str(tmp_path), "m")
    with folder.locked(), pytest.raises(BerthError, match=r"another push to .*/m has not ended"), other.locked():
        pass


GATES = [
    {"name": "min_accuracy", "value": 0.5, "bound": 0.9, "outcome": "fail", "words": "0.5000 < 0.9"},
    {"name": "max_ece", "value": 0.1, "bound": 0.2, "outcome": "pass", "words": "0.1000 <= 0.2"},
]


@pytest.fixture
def inputs(store, artifact, model, tmp_path):
    """What the components of push are called with, as Kubeflow gives it: structured metadata is a text."""
    store.client.log_param(store.parent, "encoder", "minilm")
    store.client.log_param(store.parent, "long_texts", "windows")
    rows = {split: [("hello", "ham")] * number for split, number in (("train", 1200), ("validation", 2), ("test", 3))}
    dataset = write_dataset(tmp_path / "dataset", rows, ["ham", "<b>spam</b> | x"])
    report = {"gates": packed(GATES), "scores": packed({"accuracy": 0.5, "macro_f1": 0.25})}
    return {
        "model": artifact("model", model, requirements=packed(REQUIREMENTS)),
        "dataset": artifact("dataset", dataset, fingerprint=Manifest.read(dataset).fingerprint),
        "report": artifact("report", verdict="NOT BLESSED: min_accuracy 0.5000 < 0.9", **report),
        "model_name": "",
        "settings_digest": "s",
    }


@pytest.mark.parametrize("judged_against", ["0", "1"])
def test_champion_that_came_after_evaluate_is_not_replaced(
    store, push, artifact, inputs, aliases, name, tmp_path, judged_against
):
    """Another run's push or a rollback happened in between; the model was compared with what was there before."""
    for _ in range(2):
        push(tmp_path)
    inputs["report"] = artifact("report", verdict="BLESSED", champion=judged_against)
    by_step = functools.partial(component_body("push", "push"), name=name, push_to=str(tmp_path), keep=5)
    then = "no champion" if judged_against == "0" else "version 1"
    with pytest.raises(BerthError, match=f"version 2 is its champion by now, .* with {then}.* Start the run again"):
        by_step(**inputs, pushed=artifact("pushed"))
    assert (aliases(), served(tmp_path / name)) == ({"champion": 2, "previous": 1}, ["1", "2"])
    assert len(versions.versions(name)) == 2
    inputs["report"] = artifact("report", verdict="BLESSED", champion="2")
    for _ in range(2):  # its own retry finds the champion that it has made
        by_step(**inputs, pushed=artifact("pushed"))
    assert aliases()["champion"] == 3
    run_id = store.client.get_model_version(name, "3").run_id
    kept = mlflow.artifacts.download_artifacts(run_id=run_id, artifact_path=FILE)
    assert SeenTexts.read(kept).has(["hello", "bye"]).tolist() == [True, False], "the texts that it has learnt from"


def test_the_step_says_which_version_users_now_get(store, artifact, inputs, tmp_path):
    inputs["report"] = artifact("report", verdict="BLESSED")
    pushed = artifact("pushed")
    component_body("push", "push")(**inputs, name="by-step", push_to=str(tmp_path / "serving"), keep=5, pushed=pushed)
    assert pushed.metadata["summary"] == "by-step version 1 is champion"
    assert pushed.metadata["folder"] == str(tmp_path / "serving/by-step/1")
    assert json.loads(Path(pushed.path).read_text())["version"] == "1"
    version = store.client.get_model_version("by-step", "1")
    assert version.tags["berth.run_id"] == store.parent
    assert version.tags["berth.settings_digest"] == "s"
    assert store.client.get_run(store.parent).data.tags["berth.model_version"] == "by-step/1"


def test_refused_model_carries_failed_gates_and_description(store, artifact, inputs):
    """Nothing in the description can run."""
    refused = artifact("refused")
    component_body("push", "refuse")(**inputs, name="by-refusal", refused=refused)
    assert refused.metadata["summary"] == "by-refusal version 1 is challenger; there is no champion"
    assert store.client.get_run(store.parent).data.tags["berth.model_version"] == "by-refusal/1"
    version = store.client.get_model_version("by-refusal", "1")
    assert version.tags["berth.gate.min_accuracy"] == "0.5000 < 0.9"
    assert "berth.gate.max_ece" not in version.tags
    assert version.tags["berth.verdict"].startswith("NOT BLESSED")
    for words in (
        "Trained on the dataset `0123456789abcdef` (1,200 train, 2 validation, 3 test texts)",
        r"2 labels: ham, &lt;b&gt;spam&lt;/b&gt; \| x; encoder minilm; long texts are read in full (windows).",
        f"By the MLflow run parent (`{store.parent}`).",
        "| accuracy &nbsp; | 0.5000 &nbsp; |",
        r"| min\_accuracy &nbsp; | fail &nbsp; | 0.5000 &lt; 0.9 &nbsp; |",
    ):
        assert words in version.description
    assert "<" not in version.description
