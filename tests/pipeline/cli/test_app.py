"""The command line as a person calls it."""

import http.server
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from berth.models import integrity
from tests.support import forks

ROOT = Path(__file__).parents[3]
BERTH = Path(sys.executable).with_name("berth")


def berth(*arguments: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return forks.berth(cwd, *arguments, **environment)


def test_help_names_the_commands_and_loads_nothing_heavy(tmp_path):
    done = berth("--help", cwd=tmp_path)
    assert done.returncode == 0
    for command in ("submit", "cancel", "retry", "schedule", "schedules", "scheduler"):
        assert f" {command} " in done.stdout
    for command in ("run", "compile", "ui", "predict", "runs", "compare", "models", "rollback", "promote", "config"):
        assert f" {command} " in done.stdout
    heavy = "('kfp', 'mlflow', 'pandas', 'tensorflow')"
    code = f"import sys, pipeline.cli.app; print([m for m in {heavy} if m in sys.modules])"
    assert subprocess.check_output([sys.executable, "-c", code], text=True, cwd=ROOT).strip() == "[]"


def test_listing_the_runs_does_without_pandas(tmp_path):
    """MLflow imports pandas and SciPy if they are there, a third of what the command takes.

    Nor does MLflow log that it makes the folder's store.
    """
    ask = "print([m for m in ('mlflow', 'pandas', 'scipy') if sys.modules.get(m)])"
    code = f"import sys; from pipeline.cli import app; sys.argv = ['berth', 'runs']\ntry: app.main()\nfinally: {ask}"
    environment = {name: value for name, value in os.environ.items() if name != "MLFLOW_LOGGING_LEVEL"}
    done = subprocess.run([sys.executable, "-c", code], text=True, cwd=tmp_path, capture_output=True, env=environment)
    assert done.stdout.splitlines()[-1] == "['mlflow']", done.stderr
    assert done.stderr == ""


@pytest.mark.parametrize("arguments", [["frobnicate"], ["run"], ["run", "x.yaml", "--nope"], ["ui", "--port", "0"]])
def test_bad_usage_is_exit_code_2(tmp_path, arguments):
    assert berth(*arguments, cwd=tmp_path).returncode == 2


def test_config_mistake_gives_one_line_and_writes_nothing(tmp_path):
    """The exit code is 1."""
    (tmp_path / "c.yaml").write_text("name: a\nsource: b\nepoch: 1\n")
    done = berth("run", "c.yaml", cwd=tmp_path)
    assert done.returncode == 1
    assert done.stderr == "error: c.yaml: unknown key 'epoch'. Did you mean 'epochs'?\n"
    assert [path.name for path in tmp_path.iterdir()] == ["c.yaml"]


def test_compile_writes_the_pipeline_and_says_where_it_cannot(tmp_path):
    assert berth("compile", cwd=tmp_path).returncode == 0
    assert (tmp_path / "pipeline.yaml").read_text() == (ROOT / "pipeline.yaml").read_text()
    done = berth("compile", "-o", "no/such/folder.yaml", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (
        1,
        "error: no/such/folder.yaml: cannot be written (No such file or directory).\n",
    )


def test_config_docs_prints_the_reference(tmp_path):
    assert berth("config", "docs", cwd=tmp_path).stdout == (ROOT / "docs/configuration.md").read_text()


def test_unknown_model_and_invalid_folder_give_one_line_errors(tmp_path):
    """An unregistered model and a folder that holds none each end in a one-line error."""
    done = berth("predict", "sms-spam", "hello", cwd=tmp_path)
    assert done.returncode == 1
    first = "None is: run 'berth run CONFIG' or 'berth pretrain CONFIG' first."
    assert done.stderr == f"error: no model 'sms-spam' is registered. {first}\n"
    done = berth("predict", ".", "hello", cwd=tmp_path)
    assert done.stderr == "error: .: a folder without saved_model.pb. Name a SavedModel or a registered model.\n"


def test_ui_reports_a_taken_port_and_a_server_store(tmp_path):
    """The second report is for a store that is a server."""
    import socket

    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        done = berth("ui", "--port", port, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (
        1,
        f"error: port {port} on 127.0.0.1 is taken. Choose another with --port.\n",
    )
    done = berth("ui", cwd=tmp_path, MLFLOW_TRACKING_URI="http://u:secret@127.0.0.1:9")
    assert done.stderr == "error: MLFLOW_TRACKING_URI is a server: open http://127.0.0.1:9 in a browser.\n"


@pytest.mark.parametrize("arguments", [["runs"], ["predict", "sms-spam", "hello"], ["run", "c.yaml"]])
def test_a_server_that_does_not_answer_is_said_at_once(tmp_path, arguments):
    (tmp_path / "c.yaml").write_text("name: a\nsource: b\n")
    done = berth(*arguments, cwd=tmp_path, MLFLOW_TRACKING_URI="http://me:secret@127.0.0.1:9")
    assert done.returncode == 1
    assert done.stderr.startswith(
        "error: MLflow at http://127.0.0.1:9 does not answer: [Errno 111] Connection refused."
    )
    assert "secret" not in done.stdout + done.stderr


class _Refuses(http.server.BaseHTTPRequestHandler):
    """Answers every request as a server does that wants other credentials."""

    def do_GET(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        body = b"You are not authenticated.\n<p>Go away.</p>\n"
        self.send_response(401)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_GET

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def refusing_server():
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Refuses) as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        yield f"127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.mark.parametrize(
    "arguments",
    [
        ["models"],
        ["models", "m"],
        ["rollback", "m"],
        ["promote", "m", "1", "--reason", "x"],
        ["runs"],
        ["compare", "a", "b"],
        ["predict", "m", "hello"],
    ],
)
def test_a_server_that_refuses_the_credentials_is_one_line(tmp_path, refusing_server, arguments):
    done = berth(*arguments, cwd=tmp_path, MLFLOW_TRACKING_URI=f"http://me:secret@{refusing_server}")
    assert done.returncode == 1
    assert done.stderr.startswith(f"error: MLflow at http://{refusing_server} refused: API request to endpoint /api/")
    assert "401" in done.stderr
    assert done.stderr.endswith("You are not authenticated. Check MLFLOW_TRACKING_URI and its credentials.\n")
    assert done.stderr.count("\n") == 1
    assert "secret" not in done.stdout + done.stderr


def test_only_a_server_that_refuses_is_a_refusal(monkeypatch):
    from mlflow.exceptions import MlflowException, RestException
    from mlflow.protos.databricks_pb2 import PERMISSION_DENIED, RESOURCE_DOES_NOT_EXIST

    from pipeline.mlflow_store import refusal

    denied = MlflowException("no", PERMISSION_DENIED)
    assert refusal(denied) is None, "no server"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "https://u:secret@mlflow.example")
    for error in (
        denied,
        RestException({"error_code": "TEMPORARILY_UNAVAILABLE", "message": "later"}),
        RestException({"error_code": "INTERNAL_ERROR", "message": "the database is gone"}),
        MlflowException("API request to endpoint /x failed with error code 502 != 200. Response body: '<html>'"),
        MlflowException("API request failed with exception (Caused by ResponseError('too many 503 error responses'))"),
    ):
        assert str(refusal(error)).startswith("MLflow at https://mlflow.example refused: ")
    for error in (MlflowException("a bug"), MlflowException("gone", RESOURCE_DOES_NOT_EXIST), ValueError("401")):
        assert refusal(error) is None


def test_a_file_where_the_runs_should_go_is_said(tmp_path):
    (tmp_path / "c.yaml").write_text("name: a\nsource: b\n")
    (tmp_path / ".berth").write_text("")
    done = berth("run", "c.yaml", cwd=tmp_path)
    assert done.returncode == 1
    assert done.stderr == f"error: {tmp_path / '.berth'}: cannot be written. Run berth in a folder of your own.\n"


def test_a_damaged_model_is_one_line(train_forks, tmp_path):
    (tmp_path / "m/assets").mkdir(parents=True)
    (tmp_path / "m/saved_model.pb").write_bytes(b"")
    (tmp_path / "m/assets/labels.txt").write_text("a\nb\n")
    integrity.seal(tmp_path / "m")
    done = berth("predict", "m", "hello", cwd=tmp_path)
    assert done.returncode == 1
    assert done.stderr.startswith("error: m: the model is damaged and cannot be loaded (")
    assert done.stderr.count("\n") == 1


def test_runs_of_an_unknown_name_are_refused(tmp_path, store_file):
    done = berth("runs", "sms-spam", cwd=tmp_path, MLFLOW_TRACKING_URI=f"sqlite:///{store_file}")
    assert done.returncode == 1
    assert "no run of the name 'sms-spam'" in done.stderr
