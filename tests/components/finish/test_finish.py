"""The exit handler: MLflow says how the run ended, and describes it."""

from types import SimpleNamespace

import mlflow
import pytest
from mlflow.entities import LoggedModelOutput

from berth.errors import BerthError
from berth.tracking import pipeline_run, tags
from berth.tracking.step_run import end_run, log_to_parent, step_run
from components.finish.step import close_run
from tests.support.datasets import component_body
from tests.support.kfp_resources import move
from tests.support.kfp_server import kfp_server


def finish(state: str, message: str = "") -> None:
    status = SimpleNamespace(state=state, error_message=message)
    component_body("finish", "finish")(status=status, name="sms-spam", notify={}, kfp_ui="", mlflow_ui="")


@pytest.mark.parametrize(
    ("state", "status"),
    [
        ("SUCCEEDED", "FINISHED"),
        ("FAILED", "FAILED"),
        ("CANCELLED", "KILLED"),
        ("COMPLETE", "FINISHED"),  # this and the next as KFP's metadata store has it
        ("CANCELED", "KILLED"),
    ],
)
def test_the_pipeline_run_ends_as_kfp_says(store, state, status):
    finish(state)
    assert store.client.get_run(store.parent).info.status == status


@pytest.mark.parametrize(
    ("steps", "verdict", "status"),
    [
        (["ingest", "evaluate", "push"], "BLESSED", "FINISHED"),
        (["ingest", "evaluate", "refuse"], "NOT BLESSED: accuracy", "FINISHED"),
        (["ingest", "compare"], "UNCHANGED: data", "FINISHED"),
        (["ingest", "evaluate"], "BLESSED", "FAILED"),
        (["ingest"], "", "FAILED"),
    ],
)
def test_steps_decide_where_kfp_reports_running(store, steps, verdict, status):
    """KFP may report a run as running while its exit handler is at work."""
    for step in steps:
        with step_run(step):
            pass
    if verdict:
        log_to_parent({tags.VERDICT: verdict})
    finish("RUNNING")
    assert store.client.get_run(store.parent).info.status == status


def test_the_step_s_own_error_wins_over_the_backend_s(store):
    with pytest.raises(BerthError), step_run("ingest"):
        raise BerthError("no column 'x'.")
    finish("FAILED", "task ingest failed with exit code 1")
    assert store.client.get_run(store.parent).data.tags[tags.ERROR] == "ingest: no column 'x'."


def test_blessed_run_is_described_with_data_and_links(store):
    with step_run("ingest"):
        mlflow.log_metrics({"rows_train": 4105, "rows_validation": 553, "rows_test": 502, "rejected": 1})
    with step_run("evaluate") as evaluated:
        mlflow.set_tag(tags.DESCRIPTION, "| accuracy | 0.9900 |\n")
        mlflow.log_metric("accuracy", 0.99)
    log_to_parent({tags.VERDICT: "BLESSED", tags.MODEL_VERSION: "sms-spam/3"})
    close_run(store.parent, "SUCCEEDED", "")
    note = store.client.get_run(store.parent).data.tags[tags.DESCRIPTION]
    link = f"#/experiments/{evaluated.info.experiment_id}/runs/{evaluated.info.run_id}/artifacts/report.html"
    assert note.split("\n\n") == [
        "**BLESSED**",
        f"Open: [sms-spam version 3](#/models/sms-spam/versions/3), [the report of evaluate]({link})",
        "Data: 4,105 train, 553 validation, 502 test; 1 rejected.",
        "| accuracy | 0.9900 |\n",
    ]


def test_a_step_that_died_before_its_report_is_not_linked_to(store):
    with pytest.raises(BerthError), step_run("evaluate"):
        raise BerthError("no test split.")
    close_run(store.parent, "FAILED", "")
    assert "](" not in store.client.get_run(store.parent).data.tags[tags.DESCRIPTION]


def test_the_model_of_a_step_is_the_pipeline_run_s_too(store):
    with step_run("push"):
        model = mlflow.create_external_model("model")
        mlflow.log_outputs(models=[LoggedModelOutput(model.model_id, step=0)])
    for _ in range(2):  # a cluster tries again
        close_run(store.parent, "SUCCEEDED", "")
    outputs = store.client.get_run(store.parent).outputs
    assert [logged.model_id for logged in outputs.model_outputs] == [model.model_id]


def test_what_an_error_quotes_from_data_is_shown_and_not_run(store):
    with pytest.raises(BerthError), step_run("validate"):
        raise BerthError("label <script>alert(1)</script> [x](http://evil) **b**")
    close_run(store.parent, "FAILED", "")
    note = store.client.get_run(store.parent).data.tags["mlflow.note.content"]
    assert "<script>" not in note
    assert "&lt;script&gt;" in note
    assert "[x](" not in note
    assert r"\*\*b\*\*" in note


def test_an_error_of_an_earlier_try_is_not_the_runs(store):
    with pytest.raises(BerthError), step_run("ingest"):
        raise BerthError("the server is busy.")
    with step_run("ingest"):
        pass
    close_run(store.parent, "SUCCEEDED", "")
    run = store.client.get_run(store.parent)
    assert tags.ERROR not in run.data.tags
    assert "busy" not in run.data.tags[tags.DESCRIPTION]


def test_retried_step_of_an_unchanged_run_is_no_failure(store):
    """KFP calls the run FAILED: a group of steps is complete only if each of them ran."""
    with pytest.raises(BerthError), step_run("ingest"):
        raise BerthError("the server is busy.")
    for step in ("ingest", "compare"):
        with step_run(step):
            pass
    log_to_parent({tags.VERDICT: "UNCHANGED: data, settings and code are the champion's"})
    finish("FAILED")
    run = store.client.get_run(store.parent)
    assert (run.info.status, tags.ERROR in run.data.tags) == ("FINISHED", False)


@pytest.fixture
def kubeflow(monkeypatch):
    """A KFP API for the exit handler."""
    with kfp_server() as server:
        host, port = server.url.removeprefix("http://").split(":")
        monkeypatch.setenv("ML_PIPELINE_SERVICE_HOST", host)
        monkeypatch.setenv("ML_PIPELINE_SERVICE_PORT_HTTP", port)
        yield server


@pytest.mark.parametrize("reported", [False, True])
def test_a_cancelled_run_is_closed_as_killed(on_cluster, kubeflow, reported):
    """Its step is stopped before it can say so, and KFP calls the run RUNNING."""
    root = pipeline_run.open_run("sms-spam").info
    on_cluster.client.create_run(root.experiment_id, tags={tags.STEP: "train", tags.PARENT: root.run_id})
    kubeflow.runs[on_cluster.run_id] = run = {"run_id": on_cluster.run_id, "state": "CANCELING"}
    if reported:
        move(run, "RUNNING")
    with pytest.raises(SystemExit):
        finish("RUNNING")
    closed = on_cluster.client.get_run(root.run_id)
    assert closed.info.status == "KILLED"
    assert closed.data.tags[tags.ERROR] == "train: stopped: the run was cancelled"


def test_a_retry_of_the_run_is_closed_and_notified_again(on_cluster, kubeflow, monkeypatch):
    """KFP repeats an exit handler only if it failed, and gives it the state of the first time."""
    kubeflow.runs[on_cluster.run_id] = {"run_id": on_cluster.run_id, "state": "RUNNING"}
    told = []
    monkeypatch.setattr("components.finish.step.tell", lambda settings, ending: told.append(ending.status) or [])
    root = pipeline_run.open_run("sms-spam").info.run_id
    for number in range(2):  # the second is a retry of the run
        monkeypatch.setenv("KFP_RETRY_INDEX", "0")
        with pytest.raises(BerthError, match=f"fault {number}"), step_run("train", repeats_errors=False):
            raise BerthError(f"fault {number}.")
        for _ in range(2):  # tries of finish
            with pytest.raises(SystemExit):
                finish("FAILED")
        run = on_cluster.client.get_run(root)
        assert (run.info.status, run.data.tags[tags.ERROR]) == ("FAILED", f"train: fault {number}.")
    with step_run("push"):
        pass
    finish("FAILED")
    assert on_cluster.client.get_run(root).info.status == "FINISHED"
    assert told == ["FAILED", "FAILED", "FINISHED"]


def test_a_run_is_closed_although_finish_never_starts(on_cluster):
    root = pipeline_run.open_run("sms-spam").info.run_id
    with step_run("push"):
        pass
    end_run()
    assert on_cluster.client.get_run(root).info.status == "FINISHED"


def test_run_whose_first_step_never_started_is_closed(on_cluster):
    with pytest.raises(SystemExit):
        finish("FAILED")
    (run,) = on_cluster.runs("sms-spam")
    assert (run.info.status, run.data.tags[tags.KFP_RUN_ID]) == ("FAILED", on_cluster.run_id)
