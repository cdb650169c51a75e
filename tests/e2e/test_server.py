"""A run against a real MLflow server, of pairs with several labels."""

import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import mlflow
import pytest

from tests.support.calling import MESSAGES, QUICK, berth, set_trap, write_config

pytestmark = pytest.mark.timeout(600)  # whole runs


@pytest.fixture(scope="module")
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
    # Its eight processes for jobs, which nothing here asks for, would cost more than the run.
    environment = {**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    process = subprocess.Popen(
        command, cwd=folder, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, process_group=0
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


@pytest.fixture(scope="module")
def folder(server, tmp_path_factory, tiny_bert) -> Path:
    """A folder from which a run of multi-label pairs went to the server.

    They are real messages; a pair's labels say which of the two has a digit, and may be none. Modules in the working
    folder that have the names of Berth's, or of Python's, are not imported by any step.
    """
    folder = tmp_path_factory.mktemp("pairs")
    set_trap(folder)
    texts = [line.split("\t", 1)[1].strip() for line in MESSAGES[:800]]
    rows = [
        {
            "text": first,
            "other": second,
            "label": [name for name, own in (("first", first), ("second", second)) if any(map(str.isdigit, own))],
        }
        for first, second in zip(texts[::2], texts[1::2], strict=True)
    ]
    (folder / "pairs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    settings: dict[str, object] = {"columns": [], "text_pair_column": "other", "task": "multi_label", "schema": ""}
    settings |= {"source": "pairs.jsonl", "gates": {"min_accuracy": 0.1}}
    write_config(folder, **QUICK | tiny_bert | settings)
    done = berth(folder, "run", "config.yaml", MLFLOW_TRACKING_URI=server)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def test_a_run_against_a_server_registers_the_model_there(folder, server):
    champion = mlflow.MlflowClient(server).get_model_version_by_alias("sms-spam", "champion")
    assert str(champion.version) == "1"
    assert not (folder / ".berth/mlflow.db").exists()


def test_multi_label_pairs_go_from_the_source_to_the_registry(folder, server):
    done = berth(folder, "predict", "sms-spam", "--json", "call me now\tok 12345", MLFLOW_TRACKING_URI=server)
    assert done.returncode == 0, done.stderr
    (answer,) = map(json.loads, done.stdout.splitlines())
    assert set(answer["probabilities"]) == {"first", "second"}
    assert isinstance(answer["label"], list)
