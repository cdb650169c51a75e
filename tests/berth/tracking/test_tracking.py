"""The MLflow runs of a pipeline run, on a real SQLite store, across real processes."""

import contextlib
import errno
import os
import signal
from pathlib import Path

import mlflow
import pytest
from mlflow.data.dataset_source_registry import resolve_dataset_source
from mlflow.data.meta_dataset import MetaDataset
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import TEMPORARILY_UNAVAILABLE

from berth import pod_secrets
from berth.errors import BerthError
from berth.registry import versions
from berth.tracking import pipeline_run, run_tree, tags
from berth.tracking.step_run import log_datasets, log_params, metric_name, metric_names, step_run
from berth.training.preemption import Preempted
from tests.support.forks import CONTEXT

ROOT = Path(__file__).parents[3]


def meta_dataset(name: str) -> MetaDataset:
    return MetaDataset(resolve_dataset_source(str(ROOT / "README.md")), name=name, digest="0")


def test_step_is_nested_in_the_backends_run(store):
    """Its parameters are on both runs."""
    with step_run("train", {"epochs": 3}):
        mlflow.log_metric("val_loss", 0.5, step=1)
    (child,) = run_tree.children(store.client, store.parent)
    assert child.info.run_name == child.data.tags[tags.STEP] == "train"
    assert child.info.status == "FINISHED"
    assert child.data.params == store.client.get_run(store.parent).data.params == {"epochs": "3"}
    assert store.client.get_run(store.parent).info.status == "RUNNING"


def test_a_failure_is_a_tag_on_the_step_and_on_the_pipeline_run(store):
    with pytest.raises(BerthError), step_run("ingest"):
        raise BerthError("no column 'x'.")
    (child,) = run_tree.children(store.client, store.parent)
    assert (child.info.status, child.data.tags[tags.ERROR]) == ("FAILED", "no column 'x'.")
    assert store.client.get_run(store.parent).data.tags[tags.ERROR] == "ingest: no column 'x'."


def test_a_step_that_died_before_its_run_is_named(store):
    run_tree.close(store.parent, "FAILED", "Task exit-handler-1 failed.")
    run_tree.blame(store.parent, "locate", "killed (SIGKILL).")
    assert store.client.get_run(store.parent).data.tags[tags.ERROR] == "locate: killed (SIGKILL)."
    run_tree.blame(store.parent, "locate", "something else")
    assert store.client.get_run(store.parent).data.tags[tags.ERROR] == "locate: killed (SIGKILL)."


@pytest.mark.parametrize(
    ("error", "place"),
    [
        (OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/tmp/x/tokens.bin"), "/tmp/x/tokens.bin"),
        (MlflowException("(sqlite3.OperationalError) database or disk is full\n[SQL: INSERT]"), "MLflow's database"),
        (RuntimeError("{{node}} /tmp/x/part-0.data; No space left on device [Op:SaveV2]"), "/tmp/x/part-0.data"),
        (RuntimeError("No space left on device"), "the step's outputs, or temporary files in /"),
    ],
)
def test_a_full_disk_is_one_line(store, error, place):
    with pytest.raises(BerthError, match=f"the disk is full: no room for {place}") as caught, step_run("vocabulary"):
        raise error
    (child,) = run_tree.children(store.client, store.parent)
    assert child.data.tags[tags.ERROR] == str(caught.value)


def test_first_step_on_a_cluster_makes_the_run(on_cluster):
    """Every other step finds it."""
    with pytest.raises(BerthError, match="no run of the pipeline run"):
        pipeline_run.parent_run()
    for _ in range(2):  # a pod that is started again
        opened = pipeline_run.open_run("sms-spam")
        on_cluster.next_pod()
    with step_run("ingest"):
        pass
    on_cluster.next_pod()
    assert pipeline_run.parent_run().info.run_id == opened.info.run_id
    assert [run.info.run_id for run in on_cluster.runs("sms-spam")] == [opened.info.run_id]
    assert [child.info.run_name for child in run_tree.children(on_cluster.client, opened.info.run_id)] == ["ingest"]


def test_two_pods_that_make_the_run_at_once_agree_on_one(on_cluster, monkeypatch):
    made = []
    create = pipeline_run.create_parent

    def create_late(*arguments):
        if not made:  # the other pod was faster
            made.append(create(*arguments))
        return create(*arguments)

    monkeypatch.setattr(pipeline_run, "create_parent", create_late)
    assert pipeline_run.open_run("sms-spam").info.run_id == made[0]
    assert [run.info.run_id for run in on_cluster.runs("sms-spam")] == made


def test_step_continues_the_run_made_by_kfps_plugin(on_cluster, monkeypatch):
    client = on_cluster.client
    root = pipeline_run.create_parent("plugin", "kfp's name", {tags.KFP_RUN_ID: on_cluster.run_id})
    experiment = client.get_run(root).info.experiment_id
    group = client.create_run(experiment, run_name="steps", tags={"mlflow.parentRunId": root}).info.run_id
    own = client.create_run(experiment, run_name="train", tags={"mlflow.parentRunId": group}).info.run_id
    monkeypatch.setenv("MLFLOW_RUN_ID", own)
    monkeypatch.setenv("MLFLOW_EXPERIMENT_ID", experiment)
    assert pipeline_run.open_run("sms-spam").info.run_id == root
    with step_run("train", {"epochs": 3}):
        assert "MLFLOW_RUN_ID" not in os.environ
        mlflow.log_metric("val_loss", 0.5)
    assert pipeline_run.parent_run().info.run_id == root
    assert client.get_run(root).data.params == {"epochs": "3"}
    (child,) = run_tree.children(client, root)
    assert (child.info.run_id, child.info.status, child.data.metrics) == (own, "FINISHED", {"val_loss": 0.5})
    # The exit handler's own run is running while it closes the others; the plugin ends it.
    run_tree.close(root, "FINISHED")
    assert client.get_run(group).info.status == "RUNNING"
    assert client.get_run(root).info.status == "FINISHED"


def test_plugins_run_of_a_cached_step_is_filled(store):
    with step_run("train", {"epochs": 3}) as original:
        mlflow.log_metric("val_loss", 0.5)
    later = pipeline_run.create_parent("tests", "later", {})
    experiment = original.info.experiment_id
    made = store.client.create_run(experiment, run_name="train", tags={tags.PARENT: later}).info.run_id
    store.client.log_param(made, "epochs", "3.0")  # as KFP logs it; MLflow lets no parameter be changed
    os.environ["BERTH_PARENT_RUN_ID"] = later
    with step_run("evaluate", upstream=[{tags.RUN_ID: original.info.run_id}]):
        pass
    cached = run_tree.children(store.client, later)[0]
    assert (cached.info.run_id, cached.info.run_name) == (made, "train (cached)")
    assert cached.data.metrics == {"val_loss": 0.5}


def test_pod_without_mlflow_address_names_the_secret(on_cluster, monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    with pytest.raises(BerthError, match=r"cluster\.mlflow_secret"):
        pipeline_run.open_run("sms-spam")


@pytest.mark.parametrize("plugin", [False, True])
def test_pod_reads_mlflow_from_its_secret_or_the_plugin(on_cluster, monkeypatch, plugin):
    """KFP's plugin comes first."""
    address = os.environ["MLFLOW_TRACKING_URI"]
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", "the plugin's" if plugin else "")
    monkeypatch.setenv("BERTH_MLFLOW_TOKEN", "the secret's")
    if plugin:
        monkeypatch.setenv("BERTH_MLFLOW_URI", "http://127.0.0.1:1")
    else:
        monkeypatch.setenv("BERTH_MLFLOW_URI", address)
        monkeypatch.setenv("MLFLOW_TRACKING_URI", "")
    pipeline_run.open_run("sms-spam")
    assert os.environ["MLFLOW_TRACKING_URI"] == address
    assert os.environ["MLFLOW_TRACKING_TOKEN"] == ("the plugin's" if plugin else "the secret's")
    assert len(on_cluster.runs("sms-spam")) == 1


def test_step_has_the_store_secret_under_its_usual_names(on_cluster, monkeypatch):
    """KFP's launcher, which starts the step, does not."""
    for name in pod_secrets.STORE.values():
        monkeypatch.setenv(name, "of the node" if name == "AWS_DEFAULT_REGION" else "")
    monkeypatch.setenv("BERTH_STORE_AWS_ACCESS_KEY_ID", "of the secret")
    pipeline_run.open_run("sms-spam")
    assert os.environ["AWS_ACCESS_KEY_ID"] == "of the secret"
    assert os.environ["AWS_DEFAULT_REGION"] == "of the node"


def test_credentials_are_taken_out_of_mlflows_address(monkeypatch):
    """MLflow's errors show the address."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "https://ada:p%40ss@mlflow.example:5000/x")
    for name in ("USERNAME", "PASSWORD"):
        monkeypatch.setenv(f"MLFLOW_TRACKING_{name}", "")
    pipeline_run.hide_credentials()
    values = [os.environ[f"MLFLOW_TRACKING_{name}"] for name in ("URI", "USERNAME", "PASSWORD")]
    assert values == ["https://mlflow.example:5000/x", "ada", "p@ss"]


def test_users_error_is_not_retried_on_a_cluster(on_cluster):
    root = pipeline_run.open_run("sms-spam").info.run_id
    for error in (ValueError("the node is gone"), BerthError("the loss is NaN."), BerthError("not reached")):
        message = "the loss is NaN" if isinstance(error, BerthError) else str(error)
        with pytest.raises(type(error), match=message), step_run("train", repeats_errors=False):
            raise error
    assert len(run_tree.children(on_cluster.client, root)) == 2
    run_tree.close(root, "FAILED")
    with step_run("train", repeats_errors=False):  # somebody has fixed it and calls for a retry
        assert on_cluster.client.get_run(root).info.status == "RUNNING"


def test_what_stopped_a_step_is_printed(on_cluster, capsys):
    """Python itself prints nothing of an exit code."""
    pipeline_run.open_run("sms-spam")
    with pytest.raises(Preempted), step_run("train"):
        raise Preempted("another process of the run has ended")
    assert "another process of the run has ended\n" in capsys.readouterr().out


@pytest.mark.parametrize("resumes", [True, False])
def test_step_without_checkpoints_is_not_repeated_at_its_limit(on_cluster, monkeypatch, resumes):
    """Kubernetes stops the pod, Argo starts it again, and it would be stopped again."""
    root = pipeline_run.open_run("sms-spam")
    killed = {tags.STEP: "train", tags.PARENT: root.info.run_id}
    on_cluster.client.create_run(root.info.experiment_id, start_time=1, tags=killed)
    monkeypatch.setenv("BERTH_TIME_LIMIT", "7200")
    error = contextlib.nullcontext() if resumes else pytest.raises(BerthError, match="time limit of 2 hours")
    with error, step_run("train", repeats_errors=False, resumes=resumes):
        pass


def _killed_step(environment: dict[str, str]) -> None:
    os.environ.update(environment)
    with step_run("train"):
        os.kill(os.getpid(), signal.SIGKILL)


def test_step_killed_by_sigkill_is_closed_with_the_run(store):
    process = CONTEXT.Process(target=_killed_step, args=({**os.environ, "MLFLOW_RUN_ID": store.parent},))
    process.start()
    process.join(60)
    assert process.exitcode == -signal.SIGKILL
    run_tree.close(store.parent, "FAILED")
    (child,) = run_tree.children(store.client, store.parent)
    assert child.info.status == "FAILED"
    assert "killed" in child.data.tags[tags.ERROR]
    parent = store.client.get_run(store.parent)
    assert parent.info.status == "FAILED"
    assert parent.data.tags[tags.ERROR].startswith("train: killed")


def test_cached_step_is_shown_once_with_what_it_logged(store):
    with step_run("train", {"epochs": 3}) as original:
        for epoch, loss in enumerate((0.5, 0.25), start=1):
            mlflow.log_metric("val_loss", loss, step=epoch)
        log_datasets({"train": meta_dataset("train split")})
    later = pipeline_run.create_parent("tests", "later", {})
    os.environ["BERTH_PARENT_RUN_ID"] = later
    for step in ("evaluate", "push"):
        with step_run(step, upstream=[{}, {tags.RUN_ID: original.info.run_id}]):
            pass
    children = run_tree.children(store.client, later)
    assert [child.info.run_name for child in children] == ["train (cached)", "evaluate", "push"]
    assert children[0].data.tags[tags.REUSED_FROM] == original.info.run_id
    made = f"#/experiments/{original.info.experiment_id}/runs/{original.info.run_id}"
    assert f"[the run that made it]({made})" in children[0].data.tags[tags.DESCRIPTION]
    history = store.client.get_metric_history(children[0].info.run_id, "val_loss")
    assert [(metric.step, metric.value) for metric in history] == [(1, 0.5), (2, 0.25)]
    parent = store.client.get_run(later)
    assert parent.data.params == {"epochs": "3"}
    assert [logged.dataset.name for logged in parent.inputs.dataset_inputs] == ["train split"]


def test_params_and_datasets_are_on_step_and_pipeline_run(store):
    with step_run("validate") as run:
        log_params({"schema": "inferred"})
        log_datasets({"test": meta_dataset("test split")})
    for run_id in (run.info.run_id, store.parent):
        found = store.client.get_run(run_id)
        assert found.data.params == {"schema": "inferred"}
        (logged,) = found.inputs.dataset_inputs
        assert (logged.dataset.name, [tag.value for tag in logged.tags]) == ("test split", ["test"])


def test_a_run_says_who_made_it_where_the_user_has_a_name(store, monkeypatch):
    monkeypatch.setenv("LOGNAME", "ada")
    made = pipeline_run.create_parent("tests", None, {})
    assert store.client.get_run(made).data.tags["mlflow.user"] == "ada"
    monkeypatch.setattr(pipeline_run.getpass, "getuser", lambda: {}["no such uid"])
    made = pipeline_run.create_parent("tests", None, {})
    assert "mlflow.user" not in store.client.get_run(made).data.tags


def test_a_cached_step_whose_store_is_gone_is_no_error(store):
    with step_run("evaluate", upstream=[{tags.RUN_ID: "0" * 32}]):
        pass
    assert [child.info.run_name for child in run_tree.children(store.client, store.parent)] == ["evaluate"]


@pytest.mark.parametrize(
    ("label", "name"), [("spam", "f1_spam"), ("späm & <b>", "f1_späm _ _b_"), ("a,b", "f1_a_b"), ("a//..", "f1_a/_/_")]
)
def test_any_label_makes_a_metric_name_that_mlflow_takes(store, label, name):
    assert metric_name(f"f1_{label}") == name
    with step_run("evaluate"):
        mlflow.log_metric(name, 1.0)


def test_retry_with_another_param_value_is_not_an_error(store):
    for found in ("none", "the champion's"):
        with step_run("validate", {"schema": found}):
            pass
    assert store.client.get_run(store.parent).data.params == {"schema": "none"}
    values = [child.data.params["schema"] for child in run_tree.children(store.client, store.parent)]
    assert values == ["none", "the champion's"]


def test_broken_registry_is_not_mistaken_for_no_champion(store, monkeypatch):
    assert versions.champion("never-registered") is None
    store.client.create_registered_model("without-alias")
    assert versions.champion("without-alias") is None

    def busy(*_: object) -> None:
        raise MlflowException("database is locked", TEMPORARILY_UNAVAILABLE)

    monkeypatch.setattr(mlflow.MlflowClient, "get_model_version_by_alias", busy)
    with pytest.raises(MlflowException, match="database is locked"):
        versions.champion("without-alias")


def test_labels_that_differ_in_symbols_have_metrics_of_their_own():
    found = metric_names(["f1_👍", "f1_👎", "f1_a\u2215b", "f1_a_b", "f1_spam"])
    assert len(set(found.values())) == 5
    assert found["f1_spam"] == "f1_spam"
    assert found["f1_👍"].startswith("f1___")
    assert metric_names(["f1_👍"]) == {"f1_👍": "f1__"}, "alone it needs no more"


def test_step_of_a_pod_asks_only_the_store_of_its_secret(on_cluster, store_file, monkeypatch, tmp_path):
    """MLflow would make a store of its own in the working folder, and look for the runs there."""
    pipeline_run.open_run("sms-spam")
    on_cluster.next_pod()
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    monkeypatch.setenv("BERTH_MLFLOW_URI", f"sqlite:///{store_file}")
    monkeypatch.chdir(tmp_path)
    with step_run("ingest") as run:
        assert run.data.tags[tags.STEP] == "ingest"
    assert not list(tmp_path.glob("*.db"))
