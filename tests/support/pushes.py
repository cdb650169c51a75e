"""Helpers for tests of push: real SavedModels, pushes under a step's run, an S3 server."""

import hashlib
import re
import uuid
from pathlib import Path

import pytest

from berth.models.package import ModelInterface
from berth.tracking.step_run import step_run
from components.push.step import push_model, refuse_model
from tests.support import digits_model
from tests.support.once import once

REQUIREMENTS = ["tensorflow", "tensorflow-text", "mlflow", "pandas"]
TAGS = {"berth.verdict": "BLESSED"}
REFUSED = {"berth.run_id": "r", "berth.verdict": "NOT BLESSED: min_accuracy 0.5000 < 0.9"}


@pytest.fixture(scope="session")
def models(tmp_path_factory) -> Path:
    """The folder of SavedModels of every kind."""
    return once(tmp_path_factory, "models", digits_model.in_train_environment)


@pytest.fixture
def model(models) -> Path:
    return models / "single"


@pytest.fixture
def name(request) -> str:
    """A model name of the test's own: the store is everybody's."""
    words = re.sub(r"[^a-z0-9]+", "-", request.node.name.removeprefix("test_"))
    return f"{words[:36].rstrip('-')}-{hashlib.sha256(request.node.name.encode()).hexdigest()[:6]}"


@pytest.fixture
def push(store, model, name):
    """Return a function that pushes the model under a step's run, of a pipeline run of its own unless one is named."""

    def push(push_to: str | Path = "", keep: int = 5, of: Path = model, run_id: str = ""):
        tags = {"berth.run_id": run_id or uuid.uuid4().hex, **TAGS}
        with step_run("push"):
            return push_model(of, name, str(push_to), ModelInterface(["ham", "spam"], REQUIREMENTS), tags, keep=keep)

    return push


@pytest.fixture
def refuse(store, model, name):
    """Return a function that registers the model as one that was not blessed."""

    def refuse(push_to: str | Path = ""):
        with step_run("refuse"):
            return refuse_model(model, name, str(push_to), ModelInterface(["ham", "spam"], REQUIREMENTS), REFUSED)

    return refuse


@pytest.fixture
def aliases(store, name):
    """Return a function that tells the versions of the test's model by alias."""

    def aliases() -> dict[str, int]:
        found = store.client.get_registered_model(name).aliases
        return {alias: int(version) for alias, version in found.items()}

    return aliases


def served(folder: Path) -> list[str]:
    """Return what TensorFlow Serving sees in `folder`, the highest version last."""
    return sorted((path.name for path in folder.iterdir() if not path.name.startswith(".")), key=int)


@pytest.fixture(scope="session")
def s3_server():
    """The address of a real S3 server (moto's)."""
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def s3_client(s3_server, monkeypatch):
    """A boto3 client of the server; the credentials are in the environment only."""
    import boto3

    for key, value in (
        ("AWS_ACCESS_KEY_ID", "key"),
        ("AWS_SECRET_ACCESS_KEY", "very-secret"),
        ("AWS_DEFAULT_REGION", "us-east-1"),
        ("AWS_ENDPOINT_URL", s3_server),
    ):
        monkeypatch.setenv(key, value)
    return boto3.client("s3")


@pytest.fixture
def bucket(s3_client):
    """A boto3 client of the server, with the bucket `models`."""
    s3_client.create_bucket(Bucket="models")
    return s3_client
