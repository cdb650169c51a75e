"""`berth show` and `berth logs`, of runs on this machine and of runs on a cluster."""

import mlflow
import pytest

from berth.tracking import pipeline_run, tags
from berth.tracking.step_run import step_run
from pipeline.local import run_logs
from tests.support.cluster_calls import one_line
from tests.support.kfp_server import Fault
from tests.support.kubernetes_pods import Pod


@pytest.fixture
def local_run(store, folder, monkeypatch):
    """A run that failed in train, with logs in this folder."""
    run_id = pipeline_run.create_parent("details", "details-1", {tags.KFP_RUN_ID: "local", tags.CONFIG_FILE: "c.yaml"})
    monkeypatch.setenv("MLFLOW_RUN_ID", run_id)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", mlflow.get_tracking_uri())
    with step_run("ingest"):
        pass
    with pytest.raises(ValueError, match="NaN"), step_run("train"):
        raise ValueError("the loss is NaN.")
    store.client.log_metric(run_id, "accuracy", 0.5)
    store.client.set_terminated(run_id, "FAILED")
    folder = run_logs.log_dir("details-1", run_id)
    folder.mkdir(parents=True)
    for name in ("ingest", "kfp", "train"):
        (folder / f"{name}.log").write_text(f"of {name} \x1b[31m\n", encoding="utf-8")
    return run_id


def test_show_tells_how_a_run_ended_and_why(call, local_run):
    for name in ("details-1", local_run):
        called = call("show", name)
        assert called.code == 0, called.err
        lines = [" ".join(line.split()) for line in called.out.splitlines()]
        assert "result FAILED: train" in lines
        assert "why train: the loss is NaN." in lines
        assert "accuracy 0.5000" in lines
        assert "configuration c.yaml" in lines
        assert [line.split()[:2] for line in lines[-2:]] == [["ingest", "finished"], ["train", "failed"]]
    assert "no run has the name or id 'detail'" in one_line(call("show", "detail"))


def test_logs_are_those_of_each_step_in_order(call, local_run):
    called = call("logs", "details-1")
    assert called.code == 0, called.err
    assert [line for line in called.out.splitlines() if line] == [
        *("== ingest ==", "of ingest \\x1b[31m", "== train ==", "of train \\x1b[31m")
    ]
    assert call("logs", "details-1", "train").out == "of train \\x1b[31m\n"
    assert "has no log of a step 'trian'. Did you mean 'train'?" in one_line(call("logs", "details-1", "trian"))


def test_logs_that_are_elsewhere_are_said(call, local_run, tmp_path, monkeypatch):
    (tmp_path / "other").mkdir()
    monkeypatch.chdir(tmp_path / "other")
    assert "no logs. They are in the folder where the run was started" in one_line(call("logs", "details-1"))


@pytest.fixture
def cluster_run(call, server):
    """A run on a cluster that failed in train, at its second try."""
    call("submit", "config.yaml", "--host", server.url)
    ((run_id, run),) = server.runs.items()
    server.script = [("FAILED", {"locate": "SUCCEEDED", "train": "FAILED", "finish": "FAILED"})]
    server.pods = [
        Pod(run_id, "train", "of the first"),
        Pod(run_id, "train", "berth.errors.BerthError: NaN.", number=1),
    ]
    server.pods += [Pod(run_id, "locate", "found"), Pod("another run", "train", "of another")]
    return run["display_name"]


@pytest.mark.parametrize("by", ["kubernetes", "kfp"])
def test_show_and_logs_of_a_cluster_run(call, server, request, cluster_run, by):
    """KFP's address alone is enough; where its log endpoint is closed, the kubeconfig leads to the pods."""
    if by == "kubernetes":
        request.getfixturevalue("kubeconfig")
        server.faults = [Fault("GET .*/nodes/", 404, 99)]
    shown = call("show", cluster_run, "--host", server.url)
    assert shown.code == 0, shown.err
    lines = [" ".join(line.split()) for line in shown.out.splitlines()]
    assert "result FAILED" in lines
    assert "why train: NaN." in lines
    assert "locate succeeded 61 s" in lines
    assert any(line.startswith(f"kubeflow {server.url}/#/runs/details/") for line in lines)
    read = call("logs", cluster_run, "--host", server.url)
    assert read.out.splitlines() == ["== locate ==", "found", "== train ==", "berth.errors.BerthError: NaN."]
    assert call("logs", cluster_run, "locate", "--host", server.url).out == "found\n"
    missing = one_line(call("logs", cluster_run, "push", "--host", server.url))
    assert ("no pod of push is left" if by == "kubernetes" else "KFP does not give the logs") in missing
    assert "there is no step 'trian'. Did you mean 'train'?" in one_line(
        call("logs", cluster_run, "trian", "--host", server.url)
    )


def test_log_of_a_pod_that_is_gone_comes_from_kfps_archive(call, server, cluster_run):
    """The last try's, of a step without retries, of one whose pod has labels, and of another pipeline's step."""
    run_id = server.pods[0].run_id
    for pod in server.pods:
        pod.gone = True
    server.pods += [
        Pod(run_id, "evaluate", '{"error": 1}', retries=False, gone=True),
        Pod(run_id, "pretrain", "masked"),
    ]
    server.pods += [Pod(run_id, "finish", "closed", labels=2, gone=True)]
    server.script[0][1].update(evaluate="SUCCEEDED", pretrain="RUNNING")
    logs = {
        "train": "berth.errors.BerthError: NaN.",
        "evaluate": '{"error": 1}',
        "finish": "closed",
        "pretrain": "masked",
    }
    for step, log in logs.items():
        assert call("logs", cluster_run, step, "--host", server.url).out == f"{log}\n"


def test_logs_without_access_to_pods_are_one_line(call, server, cluster_run, request):
    server.faults = [Fault("GET .*/nodes/", 404, 9)]
    assert "there is no kubeconfig" in one_line(call("logs", cluster_run, "--host", server.url))
    request.getfixturevalue("kubeconfig")
    server.faults = [Fault("GET .*/pods", 403, 9), Fault("GET .*/nodes/", 403, 9)]
    assert "no permission to read pods" in one_line(call("logs", cluster_run, "--host", server.url))
    assert call("show", cluster_run, "--host", server.url).code == 0
