"""The command line as a person calls it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from components.common import integrity

ROOT = Path(__file__).parents[2]
BERTH = Path(sys.executable).with_name("berth")


def berth(*arguments: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    variables = {key: value for key, value in os.environ.items() if not key.startswith("MLFLOW_TRACKING")}
    return subprocess.run(
        [str(BERTH), *arguments], cwd=cwd, env={**variables, **environment}, capture_output=True, text=True, timeout=120
    )


def test_help_names_the_commands_and_loads_nothing_heavy(tmp_path):
    done = berth("--help", cwd=tmp_path)
    assert done.returncode == 0
    for command in ("run", "compile", "ui", "predict", "runs", "compare", "models", "rollback", "promote", "config"):
        assert f" {command} " in done.stdout
    code = "import sys, pipeline.cli; print([m for m in ('kfp', 'mlflow', 'pandas', 'tensorflow') if m in sys.modules])"
    assert subprocess.check_output([sys.executable, "-c", code], text=True, cwd=ROOT).strip() == "[]"


@pytest.mark.parametrize("arguments", [["frobnicate"], ["run"], ["run", "x.yaml", "--nope"], ["ui", "--port", "0"]])
def test_bad_usage_is_exit_code_2(tmp_path, arguments):
    assert berth(*arguments, cwd=tmp_path).returncode == 2


def test_a_config_mistake_is_one_line_and_exit_code_1_and_nothing_is_written(tmp_path):
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


def test_a_model_that_nobody_registered_and_a_folder_that_is_none_are_one_line(tmp_path):
    done = berth("predict", "sms-spam", "hello", cwd=tmp_path)
    assert done.returncode == 1
    assert done.stderr == "error: no model 'sms-spam' is registered. None is: run 'berth run CONFIG' first.\n"
    done = berth("predict", ".", "hello", cwd=tmp_path)
    assert done.stderr == "error: .: a folder without saved_model.pb. Name a SavedModel or a registered model.\n"


def test_the_ui_says_when_its_port_is_taken_or_the_store_is_a_server(tmp_path):
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


def test_a_file_where_the_runs_should_go_is_said(tmp_path):
    (tmp_path / "c.yaml").write_text("name: a\nsource: b\n")
    (tmp_path / ".berth").write_text("")
    done = berth("run", "c.yaml", cwd=tmp_path)
    assert done.returncode == 1
    assert done.stderr == f"error: {tmp_path / '.berth'}: cannot be written. Run berth in a folder of your own.\n"


def test_a_damaged_model_is_one_line(tmp_path):
    (tmp_path / "m/assets").mkdir(parents=True)
    (tmp_path / "m/saved_model.pb").write_bytes(b"\xff")
    (tmp_path / "m/assets/labels.txt").write_text("a\nb\n")
    done = berth("predict", "m", "hello", cwd=tmp_path)
    assert done.stderr == "error: m: has no SHA256SUMS, so nothing vouches for its files. Export the model anew.\n"
    integrity.seal(tmp_path / "m")
    done = berth("predict", "m", "hello", cwd=tmp_path)
    assert done.returncode == 1
    assert done.stderr.startswith("error: m: the model is damaged and cannot be loaded (")
    assert done.stderr.count("\n") == 1


def test_runs_of_an_unknown_name_are_refused(tmp_path):
    done = berth("runs", "sms-spam", cwd=tmp_path)
    assert done.returncode == 1
    assert "no run of the name 'sms-spam'" in done.stderr
