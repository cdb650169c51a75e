"""The MLflow store of a working folder: made whole or not at all, escaped, and moved along with its folder."""

import os
import shlex
import shutil
import socket
import sqlite3
import subprocess
import time
from contextlib import closing
from pathlib import Path

import mlflow.experiments
import pytest
from click.testing import CliRunner
from mlflow.entities import FileInfo
from mlflow.tracking._tracking_service import utils

from berth.errors import BerthError
from berth.tracking import pipeline_run, sqlite_store, tags
from pipeline import mlflow_database, mlflow_store
from pipeline.display import runs
from tests.support.forks import CONTEXT
from tests.support.once import once


def first_run(folder: Path, note: Path) -> None:
    """Make a run in `folder`, with no store in the environment, and write its id to `note`."""
    os.chdir(folder)
    os.environ.pop("MLFLOW_TRACKING_URI", None)
    mlflow_store.use_tracking_uri()
    note.write_text(pipeline_run.create_parent("spam", "run", {}))


@pytest.fixture(scope="module")
def fresh(tmp_path_factory) -> Path:
    """A folder /proj with a fresh store, made once: making one takes seconds."""

    def make(folder: Path) -> None:
        (folder / "proj" / ".berth").mkdir(parents=True)
        mlflow_database.prepare(folder / "proj" / ".berth")

    return once(tmp_path_factory, "prepared", make) / "proj"


@pytest.fixture
def use(monkeypatch):
    """Make a folder the working folder and its store the one in use."""

    def use(folder: Path) -> mlflow.MlflowClient:
        monkeypatch.chdir(folder)
        monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
        uri = mlflow_store.use_tracking_uri()
        utils._artifact_repos_cache.clear()  # of the place that a run was in, by its id
        mlflow.set_tracking_uri(uri)
        return mlflow.MlflowClient(uri)

    monkeypatch.setenv("MLFLOW_TRACKING_URI", "")
    yield use
    mlflow.set_tracking_uri(None)


@pytest.fixture
def used(fresh, tmp_path, use) -> Path:
    """A folder that has been used: a run with an artifact, and a model version in the serving folder."""
    folder = tmp_path / "proj"
    shutil.copytree(fresh, folder)
    client = use(folder)
    run = pipeline_run.create_parent("spam", "run", {})
    client.log_text(run, "from the first place", "note.txt")
    client.create_registered_model("spam")
    uri = client.get_run(run).info.artifact_uri
    version = client.create_model_version("spam", f"{uri}/model", run)
    client.set_model_version_tag("spam", version.version, tags.SERVING_FOLDER, str(folder / ".berth/serving/spam"))
    client.set_model_version_tag("spam", version.version, "note", str(folder / "messages.tsv"))
    return folder


def places(folder: Path) -> str:
    """Return all text in the folder's store."""
    with closing(sqlite3.connect(folder / ".berth" / "mlflow.db")) as database:
        return "\n".join(database.iterdump())


def the_run(client: mlflow.MlflowClient) -> mlflow.entities.Run:
    (run,) = client.search_runs([client.get_experiment_by_name("spam").experiment_id])
    return run


def note(client: mlflow.MlflowClient) -> str:
    run = the_run(client)
    assert [entry.path for entry in client.list_artifacts(run.info.run_id) if isinstance(entry, FileInfo)]
    return Path(client.download_artifacts(run.info.run_id, "note.txt")).read_text()


def test_a_kill_and_two_first_runs_at_once_leave_one_whole_store(tmp_path, monkeypatch, use):
    monkeypatch.chdir(tmp_path)
    home = tmp_path / ".berth"
    notes = [tmp_path / name for name in ("first", "second", "third")]
    process, *processes = (CONTEXT.Process(target=first_run, args=(tmp_path, note)) for note in notes)
    process.start()
    while not ((home / "mlflow.db.new").exists() and (home / "mlflow.db.new").stat().st_size):
        assert process.is_alive()
        time.sleep(0.01)
    process.kill()
    process.join()
    assert sorted(path.name for path in home.iterdir() if "journal" not in path.name) == [
        "mlflow.db.new",
        "mlflow.lock",
    ]

    for process in processes:
        process.start()
    for process in processes:
        process.join(240)
    assert [process.exitcode for process in processes] == [0, 0]
    runs = [note.read_text() for note in notes[1:]]
    client = use(tmp_path)
    assert {client.get_run(run).info.experiment_id for run in runs} == {"1"}
    assert sorted(path.name for path in home.iterdir()) == ["mlflow.db", "mlflow.lock"]


def test_a_second_use_finds_the_store_as_it_is(fresh, use, monkeypatch):
    monkeypatch.setattr(mlflow_database, "locked", None)
    assert use(fresh).get_experiment("0").name == "Default"


def test_a_store_that_takes_too_long_to_make_is_reported(tmp_path, monkeypatch):
    monkeypatch.setattr(mlflow_database, "_TIMEOUT_SECONDS", 0)
    with (
        mlflow_database.locked(tmp_path / "mlflow.lock"),
        pytest.raises(BerthError, match="another process has been making it for 0 s"),
    ):
        mlflow_database.prepare(tmp_path)


def test_a_store_that_cannot_be_made_is_one_line(tmp_path, monkeypatch):
    monkeypatch.setattr("mlflow.store.db.utils.MAX_RETRY_COUNT", 1)
    (tmp_path / "mlflow.db.new").mkdir()
    with pytest.raises(BerthError, match=r"mlflow\.db: cannot be made"):
        mlflow_database.prepare(tmp_path)


@pytest.mark.parametrize("name", ["a?b", "a#b", "a%3Fb", "a b[c]é"])
def test_a_folder_of_any_name_holds_its_store(fresh, tmp_path, use, name):
    folder = tmp_path / name / "proj"
    shutil.copytree(fresh, folder)
    client = use(folder)
    run = pipeline_run.create_parent("spam", "run", {})
    client.log_text(run, "here", "note.txt")
    assert note(client) == "here"
    assert (folder / ".berth" / "artifacts" / run / "artifacts" / "note.txt").exists()
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert not mlflow_database._former_homes(folder / ".berth" / "mlflow.db")


@pytest.mark.parametrize("path", ["/srv/spam/mlflow.db", "/srv/a?b/mlflow.db", "/srv/a%3Fb#c/mlflow.db"])
def test_the_file_of_a_uri_is_the_one_it_was_made_of(path):
    assert sqlite_store.file_of(sqlite_store.uri_of(Path(path))) == Path(path)


def test_the_file_of_a_uri_has_no_options_and_is_absolute(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert sqlite_store.file_of("sqlite:///mlflow.db?timeout=5") == tmp_path / "mlflow.db"
    assert sqlite_store.file_of("http://localhost:5000") is None
    assert sqlite_store.artifact_location("http://localhost:5000") is None


@pytest.mark.parametrize("how", [shutil.move, shutil.copytree])
def test_a_moved_or_copied_folder_is_self_contained(used, tmp_path, use, how, capsys):
    how(used, tmp_path / "proj 2")
    before = places(used) if used.exists() else ""
    files = sorted(used.rglob("*"))
    folder = tmp_path / "proj 2"
    client = use(folder)
    assert f"moved from {used}" in capsys.readouterr().err
    assert note(client) == "from the first place"
    client.log_text(the_run(client).info.run_id, "more", "more.txt")
    assert (folder / ".berth/artifacts" / the_run(client).info.run_id / "artifacts/more.txt").exists()
    version = client.get_model_version("spam", "1")
    assert version.tags[tags.SERVING_FOLDER] == str(folder / ".berth/serving/spam")
    assert version.source == f"{the_run(client).info.artifact_uri}/model"
    assert version.tags["note"] == str(used / "messages.tsv")
    assert sorted(used.rglob("*")) == files
    assert (places(used) if used.exists() else "") == before
    use(folder)
    assert capsys.readouterr().err == ""


def test_a_store_of_an_older_berth_follows_a_move(used, tmp_path, use):
    """Its Default experiment is not below artifacts/, as MLflow chose that."""
    with closing(sqlite3.connect(used / ".berth/mlflow.db")) as database, database:
        database.execute("UPDATE experiments SET artifact_location = ? WHERE experiment_id = 0", (f"{used}/mlruns/0",))
    used.rename(tmp_path / "proj2")
    client = use(tmp_path / "proj2")
    assert note(client) == "from the first place"
    assert client.get_experiment("0").artifact_location == str(tmp_path / "proj2/mlruns/0")


def test_a_move_empties_the_step_cache(used, tmp_path, use):
    entry = used / ".berth/cache/code/key.json"
    entry.parent.mkdir(parents=True)
    entry.write_text(str(used))
    use(used)
    assert entry.exists()
    used.rename(tmp_path / "proj2")
    use(tmp_path / "proj2")
    assert not (tmp_path / "proj2/.berth/cache").exists()


def test_a_serving_folder_elsewhere_stays_after_a_move(used, tmp_path, use):
    use(used).set_model_version_tag("spam", "1", tags.SERVING_FOLDER, "/srv/serving/spam")
    used.rename(tmp_path / "proj2")
    version = use(tmp_path / "proj2").get_model_version("spam", "1")
    assert version.tags[tags.SERVING_FOLDER] == "/srv/serving/spam"


def test_a_move_that_was_cut_off_is_done_again(used, tmp_path, use, monkeypatch):
    used.rename(tmp_path / "proj2")
    monkeypatch.setattr(mlflow_database, "_LOCATIONS", (*mlflow_database._LOCATIONS, ("absent", "value", "true")))
    with pytest.raises(BerthError, match="no such table: absent"):
        use(tmp_path / "proj2")
    monkeypatch.undo()
    assert note(use(tmp_path / "proj2")) == "from the first place"


def test_a_damaged_store_is_one_line(used, use):
    (used / ".berth/mlflow.db").write_bytes(b"not a database" * 100)
    with pytest.raises(BerthError, match="cannot be read or written"):
        use(used)


def test_a_store_named_in_the_environment_is_left_alone(used, tmp_path, monkeypatch):
    used.rename(tmp_path / "proj2")
    monkeypatch.chdir(tmp_path / "proj2")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", sqlite_store.uri_of(tmp_path / "proj2/.berth/mlflow.db"))
    before = places(tmp_path / "proj2")
    mlflow_store.use_tracking_uri()
    assert places(tmp_path / "proj2") == before


def test_a_deleted_experiment_says_how_to_restore_it(used, use):
    client = use(used)
    client.delete_experiment("1")
    with pytest.raises(BerthError) as raised:
        pipeline_run.create_parent("spam", "run", {})
    message = str(raised.value)
    assert "the MLflow experiment 'spam' has been deleted. Restore it: " in message
    with pytest.raises(BerthError, match="the MLflow experiment 'spam' has been deleted"):
        runs.runs_table(None, 10)
    with pytest.raises(BerthError, match=r"These experiments were deleted in MLflow: spam\.$"):
        runs.find_run(client, "run")
    env, store, program, *command = shlex.split(message.partition("Restore it: ")[2])
    assert (env, store) == ("env", f"MLFLOW_TRACKING_URI={mlflow.get_tracking_uri()}")
    assert Path(program).is_file()
    assert CliRunner().invoke(mlflow.experiments.commands, command[1:]).exit_code == 0
    assert pipeline_run.create_parent("spam", "run", {})


def test_runs_are_found_among_more_experiments_than_a_page(used, use):
    client = use(used)
    assert pipeline_run.create_parent("spam", "the-oldest", {tags.KFP_RUN_ID: "1"})
    with sqlite3.connect(used / ".berth/mlflow.db") as store:  # through MLflow a thousand take a minute
        store.executemany(
            "INSERT INTO experiments (experiment_id, name, lifecycle_stage, creation_time, last_update_time) "
            "VALUES (?, ?, 'active', ?, ?)",
            [(number, f"e{number}", number, 2**42 + number) for number in range(1_000, 2_200)],
        )
    assert runs.find_run(client, "the-oldest").info.run_name == "the-oldest"
    assert runs.runs_table("spam", 10).row_count == runs.runs_table(None, 10).row_count == 1


def test_an_experiment_that_another_run_has_just_made_is_used(used, use, monkeypatch):
    client = use(used)
    known = client.get_experiment_by_name("spam")
    answers = iter([None, known])
    monkeypatch.setattr(mlflow.MlflowClient, "get_experiment_by_name", lambda self, name: next(answers))
    run = pipeline_run.create_parent("spam", "run", {})
    assert client.get_run(run).info.experiment_id == known.experiment_id


def test_berth_ui_runs_no_file_of_the_working_folder(used, use, monkeypatch):
    use(used)
    for name in ("PYTHONSAFEPATH", "UVICORN_APP_DIR", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION", "MLFLOW_DISABLE_TELEMETRY"):
        monkeypatch.setenv(name, "")  # is put back after the test
    (used / "not_of_mlflow.py").touch()
    ended: list[str] = []

    def execv(program: str, arguments: list[str]) -> None:
        assert arguments[1:4] == ["-m", "mlflow", "ui"]
        for tried in (["not_of_mlflow"], ["uvicorn", "not_of_mlflow:app"]):  # MLflow's server is uvicorn's app
            ended.append(subprocess.run([program, "-m", *tried], stderr=subprocess.PIPE, text=True).stderr)

    monkeypatch.setattr(os, "execv", execv)
    with socket.create_server(("127.0.0.1", 0)) as found:
        port = found.getsockname()[1]
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    mlflow_store.serve_ui(port)
    assert "No module named not_of_mlflow" in ended[0]
    assert 'Could not import module "not_of_mlflow"' in ended[1]
