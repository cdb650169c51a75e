"""`berth submit`: what it uploads, what it prints, and what it refuses before anything is sent."""

import hashlib
import json
from pathlib import Path

import pytest
import yaml

from pipeline import image_lock
from pipeline.cluster import package
from pipeline.config.run_config import RunConfig
from pipeline.dags import training
from tests.support.cluster_calls import one_line, references, write_config


def test_submit_uploads_a_version_and_starts_a_run(call, server, folder):
    """The version is named by its hash, and the run has the configuration's parameters."""
    write_config(folder, epochs=2, gates={"min_accuracy": 0.9})
    called = call("submit", "config.yaml", "--host", server.url)
    assert called.code == 0, called.err
    (version,) = server.versions.values()
    uploaded = server.asked("upload_version")[0].encode()
    assert version["display_name"] == f"berth-{hashlib.sha256(uploaded).hexdigest()[:16]}"
    (run,) = server.runs.values()
    assert run["pipeline_version_reference"]["pipeline_version_id"] == version["pipeline_version_id"]
    given = run["runtime_config"]["parameters"]
    assert (given["epochs"], given["gates"]["min_accuracy"], given["name"]) == (2, 0.9, "sms-spam")
    assert given["source"] == {"files": "s3://texts/messages.tsv"}
    assert given["config_file"] == "config.yaml"
    assert given["on_unchanged"] == "train"
    assert run["plugins_input"] == {"mlflow": {"experiment_name": "sms-spam"}}
    (experiment,) = server.experiments.values()
    assert experiment["display_name"] == "sms-spam"


def test_version_pins_images_by_digest_and_is_deterministic(call, server, folder):
    """Its bytes are the same each time."""
    for _ in range(2):
        assert call("submit", "config.yaml", "--host", server.url).code == 0
    assert len(server.runs) == 2
    assert len(server.versions) == len(server.pipelines) == len(server.experiments) == 1
    spec = next(iter(server.versions.values()))["pipeline_spec"]
    used = {executor["container"]["image"] for executor in spec["deploymentSpec"]["executors"].values()}
    assert used == set(references("0").values())
    image_lock.write_lock(folder / image_lock.LOCK, references("1"))
    assert call("submit", "config.yaml", "--host", server.url).code == 0
    assert len(server.versions) == 2


def test_submit_uploads_what_compile_writes(call, server, folder, compiled):
    """Both use the same images."""
    call("submit", "config.yaml", "--host", server.url)
    assert server.asked("upload_version")[0] == compiled.read_text()


def test_checkpoint_claim_is_compiled_in_and_named_by_parameter(call, server, folder):
    write_config(folder, cluster={"checkpoint_claim": "train-checkpoints", "gpu_count": 2})
    called = call("submit", "config.yaml", "--host", server.url)
    assert called.code == 0, called.err
    assert "pvcMount" in server.asked("upload_version")[0]
    (run,) = server.runs.values()
    given = run["runtime_config"]["parameters"]
    assert (given["cluster_checkpoint_claim"], given["cluster_train_gpu_count"]) == ("train-checkpoints", "2")


@pytest.mark.parametrize("command", [["submit"], ["schedule", "--cron", "0 3 * * 1"]])
def test_service_account_and_pipeline_root_are_the_runs(call, server, folder, command):
    """KFP takes neither as a parameter of the pipeline."""
    write_config(folder, cluster={"service_account": "reviews", "pipeline_root": "s3://models/kfp"})
    called = call(command[0], "config.yaml", *command[1:], "--host", server.url)
    assert called.code == 0, called.err
    (made,) = (server.runs if command == ["submit"] else server.schedules).values()
    assert made["service_account"] == "reviews"
    assert made["runtime_config"]["pipeline_root"] == "s3://models/kfp"
    assert "cluster_service_account" not in made["runtime_config"]["parameters"]


def test_settings_that_no_step_can_be_given_are_refused(call, server, folder):
    """KFP passes them in one argument of a process."""
    write_config(folder, label_map={f"label {number}": "other" for number in range(4_000)})
    assert "error: label_map: " in one_line(call("submit", "config.yaml", "--host", server.url))
    assert not server.requests


def test_submit_prints_the_kubeflow_and_mlflow_links(call, server, folder, monkeypatch):
    called = call("submit", "config.yaml", "--host", server.url)
    (run_id,) = server.runs
    assert f"{server.url}/#/runs/details/{run_id}" in called.out
    assert "mlflow" not in called.out
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "https://somebody:hunter2@mlflow.example/")
    called = call("submit", "config.yaml", "--host", server.url)
    assert "https://mlflow.example/#/experiments" in called.out
    server.mlflow_url = "https://mlflow.example/#/experiments/3/runs/abc"
    monkeypatch.setenv("KF_PIPELINES_UI_ENDPOINT", "https://kubeflow.example/pipeline")
    called = call("submit", "config.yaml", "--host", server.url)
    assert "https://mlflow.example/#/experiments/3/runs/abc" in called.out
    assert "https://kubeflow.example/pipeline/#/runs/details/" in called.out
    server.mlflow_url = ""
    pages = {"kfp_ui": "https://kfp.example/", "mlflow_ui": "https://ml.example"}
    write_config(folder, cluster=pages)
    called = call("submit", "config.yaml", "--host", server.url)
    assert "kubeflow  https://kfp.example/#/runs/details/" in called.out
    assert "mlflow    https://ml.example/#/experiments" in called.out


def test_experiment_is_named_and_the_kfp_variable_overrides_it(call, server, monkeypatch):
    call("submit", "config.yaml", "--host", server.url, "--experiment", "mine")
    monkeypatch.setenv("KF_PIPELINES_OVERRIDE_EXPERIMENT_NAME", "of-the-team")
    call("submit", "config.yaml", "--host", server.url, "--experiment", "mine")
    assert [one["display_name"] for one in server.experiments.values()] == ["mine", "of-the-team"]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"source": "messages.tsv"}, "source: "),
        ({"source": {"train": "s3://a/b.csv", "test": "test.csv"}}, "source.test: "),
        ({"encoder": "bert", "preprocessor": "https://tfhub.dev/x/1"}, "encoder: "),
        ({"push_to": "serving"}, "push_to: "),
        ({"checkpoints": "checkpoints"}, "checkpoints: "),
        ({"push_to": ""}, "push_to: a cluster's steps have no folder that stays"),
    ],
)
def test_local_path_is_refused_before_submission(call, server, folder, changes, words):
    """A cluster cannot read a path of this machine, so nothing is sent."""
    write_config(folder, **changes)
    line = one_line(call("submit", "config.yaml", "--host", server.url))
    assert words in line
    assert "s3://" in line
    assert not server.requests


def test_signed_address_comes_from_a_variable_of_the_secret(call, server, folder):
    write_config(folder, source={"train": "env:SOURCE_URL", "test": "env:TEST_URL"})
    called = call("submit", "config.yaml", "--host", server.url)
    assert called.code == 0, called.err
    (run,) = server.runs.values()
    assert run["runtime_config"]["parameters"]["source"] == {"train": "env:SOURCE_URL", "test": "env:TEST_URL"}


def test_variable_that_steps_do_not_have_is_refused(call, server, folder):
    write_config(folder, source="env:MY_URL")
    line = one_line(call("submit", "config.yaml", "--host", server.url))
    assert "source: env:MY_URL is not among the variables" in line
    assert "SOURCE_URL" in line
    assert not server.requests


def test_variable_of_the_probe_is_one_that_steps_have(call, server, folder):
    lines = "pipeline: pretraining", "name: town", "source: s3://b/texts/*.txt", "push_to: s3://b/models"
    (folder / "config.yaml").write_text("\n".join([*lines, "probe: {source: env:MY_URL}"]))
    line = one_line(call("submit", "config.yaml", "--host", server.url))
    assert "env:MY_URL is not among the variables" in line


@pytest.mark.parametrize("missing", ["file", "image"])
def test_image_missing_from_the_lock_is_refused_before_sending(call, server, folder, missing):
    lock = folder / image_lock.LOCK
    if missing == "file":
        lock.unlink()
    else:
        values = yaml.safe_load(lock.read_text())
        del values["images"]["berth-train"]
        lock.write_text(yaml.safe_dump(values))
    line = one_line(call("submit", "config.yaml", "--host", server.url))
    assert "images.lock.yaml" in line
    assert "make push-images REGISTRY=" in line
    assert not server.requests


def test_the_verdict_cannot_be_asked_for_without_waiting(call, server):
    called = call("submit", "config.yaml", "--host", server.url, "--fail-if-not-blessed")
    assert called.code == 2


def test_demo_package_has_exactly_the_pipeline_steps(folder, monkeypatch):
    monkeypatch.undo()
    monkeypatch.chdir(folder)
    config = RunConfig.load(write_config(folder))
    made = package.make_package(config, Path("config.yaml"))
    dags = json.dumps(made.parameters)
    assert "sms-spam" in dags
    assert set(made.steps) >= {"locate", "ingest", "compare", "validate", "train", "evaluate", "push", "refuse"}
    assert not [step for step in made.steps if "condition" in step or "handler" in step]
    assert training.berth.name == "berth"


def test_pretraining_is_a_pipeline_of_its_own(call, server, folder):
    """Its parameters are its own, and its steps are followed by their names."""
    settings = {"pipeline": "pretraining", "name": "town", "source": "s3://corpus/*.txt", "documents": "blank_line"}
    settings |= {"push_to": "s3://models/serving", "encoder": "models:/town@champion"}
    (folder / "pretrain.yaml").write_text(yaml.safe_dump(settings))
    done = call("submit", "pretrain.yaml", "--host", server.url)
    assert done.code == 0, done.err
    assert "version berth-pretraining-" in done.out
    (run,) = server.runs.values()
    assert run["runtime_config"]["parameters"]["documents"] == "blank_line"
    assert run["runtime_config"]["parameters"]["new_encoder"] == {}
    assert "push-encoder" in package.step_names("pretraining")
