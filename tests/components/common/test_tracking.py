"""The MLflow runs of a pipeline run, on a real SQLite store, across real processes."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import mlflow
import pytest

from components.common import tracking
from components.common.errors import BerthError

ROOT = Path(__file__).parents[3]


def test_a_step_is_nested_in_the_run_that_the_backend_made_and_its_parameters_are_on_both(store):
    with tracking.step_run("train", {"epochs": 3}):
        mlflow.log_metric("val_loss", 0.5, step=1)
    (child,) = tracking.children(store.client, store.parent)
    assert child.info.run_name == child.data.tags[tracking.STEP] == "train"
    assert child.info.status == "FINISHED"
    assert child.data.params == store.client.get_run(store.parent).data.params == {"epochs": "3"}
    assert store.client.get_run(store.parent).info.status == "RUNNING"


def test_a_failure_is_a_tag_on_the_step_and_on_the_pipeline_run(store):
    with pytest.raises(BerthError), tracking.step_run("ingest"):
        raise BerthError("no column 'x'.")
    (child,) = tracking.children(store.client, store.parent)
    assert (child.info.status, child.data.tags[tracking.ERROR]) == ("FAILED", "no column 'x'.")
    assert store.client.get_run(store.parent).data.tags[tracking.ERROR] == "ingest: no column 'x'."


def test_without_a_backend_the_run_is_made_once_for_a_kfp_run_and_found_again(store, monkeypatch):
    for name in ("MLFLOW_RUN_ID", "BERTH_PARENT_RUN_ID"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("KFP_RUN_ID", "run-of-" + store.parent)
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "cluster")
    first = tracking.parent_run()
    assert first.data.tags[tracking.KFP_RUN_ID] == "run-of-" + store.parent
    assert store.client.get_experiment(first.info.experiment_id).name == "cluster"
    with tracking.step_run("ingest"):
        pass
    assert tracking.parent_run().info.run_id == first.info.run_id
    assert len(tracking.children(store.client, first.info.run_id)) == 1


def test_a_step_killed_with_sigkill_is_closed_with_the_pipeline_run(store):
    code = "import os, signal\nfrom components.common import tracking\n"
    code += "with tracking.step_run('train'):\n    os.kill(os.getpid(), signal.SIGKILL)\n"
    environment = {**os.environ, "MLFLOW_RUN_ID": store.parent, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, cwd=ROOT)
    assert done.returncode == -signal.SIGKILL
    tracking.close(store.parent, "FAILED")
    (child,) = tracking.children(store.client, store.parent)
    assert child.info.status == "FAILED"
    assert "killed" in child.data.tags[tracking.ERROR]
    parent = store.client.get_run(store.parent)
    assert parent.info.status == "FAILED"
    assert parent.data.tags[tracking.ERROR].startswith("train: killed")


def test_a_step_out_of_the_cache_is_shown_once_with_what_it_logged_under_its_own_run(store):
    with tracking.step_run("train", {"epochs": 3}) as original:
        mlflow.log_metric("val_loss", 0.5)
    later = tracking.create_parent("tests", "later", {})
    os.environ["BERTH_PARENT_RUN_ID"] = later
    for step in ("evaluate", "push"):
        with tracking.step_run(step, upstream=[{}, {tracking.RUN_ID: original.info.run_id}]):
            pass
    children = tracking.children(store.client, later)
    assert [child.info.run_name for child in children] == ["train (cached)", "evaluate", "push"]
    assert children[0].data.tags[tracking.REUSED_FROM] == original.info.run_id
    assert children[0].data.metrics == {"val_loss": 0.5}
    assert store.client.get_run(later).data.params == {"epochs": "3"}


def test_a_cached_step_whose_store_is_gone_is_no_error(store):
    with tracking.step_run("evaluate", upstream=[{tracking.RUN_ID: "0" * 32}]):
        pass
    assert [child.info.run_name for child in tracking.children(store.client, store.parent)] == ["evaluate"]


@pytest.mark.parametrize(("label", "name"), [("spam", "f1_spam"), ("späm & <b>", "f1_späm _ _b_"), ("a,b", "f1_a_b")])
def test_any_label_makes_a_metric_name_that_mlflow_takes(store, label, name):
    assert tracking.metric_name(f"f1_{label}") == name
    with tracking.step_run("evaluate"):
        mlflow.log_metric(name, 1.0)
