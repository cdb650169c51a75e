"""The same run against a real MLflow server."""

import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator

import mlflow
import pytest

from tests.support.calling import berth

pytestmark = pytest.mark.timeout(1200)  # whole runs


@pytest.fixture
def server(tmp_path_factory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("server")
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    command += [
        "--backend-store-uri",
        f"sqlite:///{folder / 'mlflow.db'}",
        "--artifacts-destination",
        str(folder / "files"),
    ]
    process = subprocess.Popen(
        command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, process_group=0
    )
    uri = f"http://127.0.0.1:{port}"
    for _ in range(240):
        try:
            urllib.request.urlopen(f"{uri}/health", timeout=1)
            break
        except OSError:
            assert process.poll() is None
            time.sleep(0.25)
    yield uri
    os.killpg(process.pid, 15)
    process.wait(20)


def test_a_run_against_a_server_registers_the_model_there(server, workspace):
    folder = workspace()
    done = berth(folder, "run", "config.yaml", MLFLOW_TRACKING_URI=server)
    assert done.returncode == 0, done.stdout + done.stderr
    champion = mlflow.MlflowClient(server).get_model_version_by_alias("sms-spam", "champion")
    assert str(champion.version) == "1"
    assert not (folder / ".berth/mlflow.db").exists()
    answer = berth(folder, "predict", "sms-spam", "hello", MLFLOW_TRACKING_URI=server)
    assert answer.stdout.split("\t")[0] in ("ham", "spam"), answer.stderr
