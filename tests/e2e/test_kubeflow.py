"""Runs on Kubeflow, from `berth submit` to the registry: KFP's rules (tests/support/kfp_twin), and the real commands.

One run trains, in half a minute; the others take what they can from KFP's cache, as they would on a cluster.
"""

import contextlib
import io
import sys
import time
from pathlib import Path
from typing import Any

import boto3
import mlflow
import pytest
import yaml

from berth.tracking import tags
from pipeline import image_lock
from pipeline.cli.app import main
from tests.support.calling import MESSAGES, QUICK
from tests.support.cluster_calls import Called, references
from tests.support.kfp_server import kfp_server
from tests.support.kfp_twin.backend import Backend

pytestmark = pytest.mark.timeout(600)  # whole runs

MANY = [f"subject-{number % 40:02d}\t{line.split(chr(9), 1)[1]}" for number, line in enumerate(MESSAGES[:400])]
"""Real messages under more labels than Kubeflow's pages show."""
DATA = "".join(MANY).encode()
SETTINGS = {
    **{"name": "sms-spam", "source": "s3://texts/messages.tsv", "columns": ["label", "text"]},
    **{"encoder": "s3://texts/encoder", "preprocessor": "s3://texts/preprocessor", "push_to": "s3://texts/serving"},
    **{"epochs": 1, "sequence_length": 32, "gates": {"min_accuracy": 0.0}, "evaluation": QUICK["evaluation"]},
}
KEYS = {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "very-secret", "AWS_DEFAULT_REGION": "us-east-1"}


class Cluster:
    """A cluster with data, an encoder and MLflow, and `berth`, called as a person calls it who has its address."""

    def __init__(self, folder: Path, backend: Backend, bucket: Any, client: mlflow.MlflowClient) -> None:
        self.folder, self.backend, self.server = folder, backend, backend.server
        self.bucket, self.mlflow = bucket, client

    def berth(self, *arguments: str, **changes: object) -> Called:
        """Call `berth` with the settings of these tests and changes to them in config.yaml."""
        (self.folder / "config.yaml").write_text(yaml.safe_dump(SETTINGS | changes))
        out, err, code = io.StringIO(), io.StringIO(), 0
        with pytest.MonkeyPatch.context() as patched, contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            patched.setattr(sys, "argv", ["berth", *arguments, "--host", self.server.url])
            patched.setattr("pipeline.cluster.follow.POLL", 0.05)
            patched.setenv("HOME", str(self.folder))
            patched.setenv("COLUMNS", "120")
            for variable in ("KF_PIPELINES_ENDPOINT", "KF_PIPELINES_UI_ENDPOINT", "MLFLOW_TRACKING_URI"):
                patched.delenv(variable, raising=False)
            patched.chdir(self.folder)
            try:
                main()
            except SystemExit as end:
                code = int(end.code or 0)
        return Called(code, out.getvalue(), err.getvalue())

    def newest(self) -> dict[str, Any]:
        """Return the newest run, with its end awaited."""
        run = list(self.server.runs.values())[-1]
        workflow = self.backend.wait(run["run_id"])
        assert not workflow.errors
        return run

    def mlflow_run(self, run: dict[str, Any]) -> Any:
        """Return the one MLflow run of a run."""
        experiment = self.mlflow.get_experiment_by_name("sms-spam")
        filter_string = f"tags.`{tags.KFP_RUN_ID}` = '{run['run_id']}'"
        found = self.mlflow.search_runs([experiment.experiment_id], filter_string)
        (parent,) = [one for one in found if tags.PARENT not in one.data.tags]
        return parent

    def tries(self, run: dict[str, Any]) -> dict[str, int]:
        """Return how many pods each step of a run had; a step from the cache has none."""
        pods = [pod.step for pod in self.server.pods if pod.run_id == run["run_id"]]
        return {step: pods.count(step) for step in dict.fromkeys(pods)}

    def log(self) -> str:
        return "\n".join(f"== {pod.step}\n{pod.log[-3000:]}" for pod in self.server.pods if pod.reason == "Error")


def states(run: dict[str, Any]) -> dict[str, str]:
    tasks = run.get("run_details", {"task_details": []})["task_details"]
    found = {task["display_name"]: task["state"] for task in tasks}
    return {name: state for name, state in found.items() if name and "executor" not in name}


@pytest.fixture(scope="module")
def cluster(tmp_path_factory, s3_server, tiny_bert, store_file) -> Any:
    key, secret, region = KEYS.values()
    s3 = boto3.session.Session(key, secret).resource("s3", region_name=region, endpoint_url=s3_server)
    bucket = s3.create_bucket(Bucket="texts")
    bucket.put_object(Key="messages.tsv", Body=DATA)
    for name, folder in tiny_bert.items():
        for path in filter(Path.is_file, Path(folder).rglob("*")):
            bucket.upload_file(str(path), f"{name}/{path.relative_to(folder)}")
    secrets = {
        "berth-mlflow": {"MLFLOW_TRACKING_URI": f"sqlite:///{store_file}"},
        "berth-store": KEYS | {"AWS_ENDPOINT_URL": s3_server},
    }
    folder = tmp_path_factory.mktemp("cluster")
    image_lock.write_lock(folder / image_lock.LOCK, references("0"))
    with kfp_server() as server:
        backend = Backend(server, folder, secrets)
        yield Cluster(folder, backend, bucket, mlflow.MlflowClient(f"sqlite:///{store_file}"))
        backend.close()


@pytest.fixture(scope="module")
def first(cluster) -> Called:
    """The one run that trains."""
    return cluster.berth("submit", "config.yaml", "--wait")


def test_submitted_run_is_pushed(cluster, first):
    """Push reads gates, scores and labels, which KFP changes where they are lists or dicts."""
    assert first.code == 0, first.err + cluster.log()
    run = cluster.newest()
    assert first.out.endswith("verdict   BLESSED\n")
    version = cluster.mlflow.get_model_version_by_alias("sms-spam", "champion")
    assert version.tags[tags.VERDICT] == "BLESSED"
    assert "| accuracy" in version.description
    labels = sorted({line.split("\t")[0] for line in MANY})
    assert f"{len(labels)} labels: {labels[0]}, " in version.description
    assert (cluster.mlflow_run(run).info.status, set(states(run).values())) == ("FINISHED", {"SUCCEEDED"})
    assert set(cluster.tries(run).values()) == {1}
    commands = cluster.backend.workflows[run["run_id"]].commands
    assert max(len(argument) for command in commands for argument in command) < 20_000
    assert "very-secret" not in str(commands)


def test_model_that_fails_its_gates_is_refused(cluster, first):
    """It comes from the cache: what it was made of is the same."""
    called = cluster.berth("submit", "config.yaml", "--wait", gates={"min_accuracy": 1.0})
    run = cluster.newest()
    assert called.code == 0, called.err + cluster.log()
    assert called.out.endswith("verdict   NOT BLESSED\n")
    assert cluster.tries(run).keys() == {"locate", "compare", "evaluate", "refuse", "finish"}
    version = cluster.mlflow.get_model_version_by_alias("sms-spam", "challenger")
    assert version.tags[tags.VERDICT].startswith("NOT BLESSED: min_accuracy")
    assert "berth.gate.min_accuracy" in version.tags
    logged = cluster.mlflow.get_logged_model(version.source.rpartition("/")[2])
    model = mlflow.models.Model.load(logged.artifact_location.removeprefix("file://"))
    labels = sorted({line.split("\t")[0] for line in MANY})
    assert model.signature.outputs.input_names() == ["label", "probability", *(f"p({label})" for label in labels)]


def test_scheduled_run_ends_where_nothing_is_new(cluster, first):
    """KFP's plugins see each run, and it has no parameters but the defaults of the version."""
    cluster.server.older_health, cluster.server.plugins = {"tag_name": "2.18.0", "multi_user": False}, True
    called = cluster.berth("schedule", "config.yaml", "--cron", "0 3 * * 1", on_unchanged="skip")
    assert called.code == 0, called.err
    cluster.backend.schedule(list(cluster.server.schedules.values())[-1])
    run = cluster.newest()
    assert run["state"] == "SUCCEEDED", cluster.log()
    assert cluster.tries(run) == {"locate": 1, "compare": 1, "finish": 1}
    parent = cluster.mlflow_run(run)
    assert parent.info.status == "FINISHED"
    assert parent.data.tags[tags.VERDICT].startswith("UNCHANGED: ")


def test_failed_run_is_retried_from_where_it_failed(cluster, first):
    """The data is missing for three tries and one more. finish fails with the run, so that it is repeated."""
    source = {"source": "s3://texts/late.tsv", "on_unchanged": "skip"}
    called = cluster.berth("submit", "config.yaml", "--wait", **source)
    run = cluster.newest()
    assert called.code == 1
    assert called.err.startswith("error: locate failed. source: s3://texts/late.tsv"), called.err
    assert cluster.tries(run) == {"locate": 3, "finish": 2}
    assert (run["state"], states(run)) == ("FAILED", {"locate": "FAILED", "finish": "FAILED"})
    assert cluster.mlflow_run(run).info.status == "FAILED"
    assert "s3://texts/late.tsv" in cluster.berth("logs", run["display_name"], "locate").out

    cluster.server.pods = []
    cluster.backend.on_try = lambda step, number: number and cluster.bucket.put_object(Key="late.tsv", Body=DATA)
    assert cluster.berth("retry", run["display_name"]).code == 0
    assert cluster.newest()["state"] == "SUCCEEDED", cluster.log()
    assert cluster.tries(run) == {"locate": 2, "ingest": 1, "compare": 1, "finish": 1}
    parent = cluster.mlflow_run(run)
    assert (parent.info.status, tags.FINISHED in parent.data.tags) == ("FINISHED", True)


def test_cancelled_run_is_closed_as_killed(cluster, first):
    """The step hears nothing; KFP calls the run FAILED, and its history tells."""

    def wait(step: str, number: int) -> None:
        while step == "compare" and list(cluster.server.runs.values())[-1]["state"] != "CANCELING":
            time.sleep(0.02)

    cluster.backend.on_try = wait
    assert cluster.berth("submit", "config.yaml").code == 0
    run = list(cluster.server.runs.values())[-1]
    while "compare" not in states(run):
        time.sleep(0.02)
    assert cluster.berth("cancel", run["display_name"]).code == 0
    cluster.newest()
    assert (run["state"], [one["state"] for one in run["state_history"]][-2:]) == ("FAILED", ["CANCELING", "FAILED"])
    assert states(run) == {"locate": "SUCCEEDED", "ingest": "SUCCEEDED", "compare": "FAILED", "finish": "FAILED"}
    assert cluster.tries(run) == {"locate": 1, "compare": 1, "finish": 1}
    assert cluster.mlflow_run(run).info.status == "KILLED"
    assert "CANCELED" in cluster.berth("runs").out
