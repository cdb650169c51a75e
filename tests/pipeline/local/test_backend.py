"""The local backend on small pipelines of real tasks: kfp.local runs them in the images' environments."""

import errno
import sqlite3
from pathlib import Path

import mlflow
import pytest
from kfp import dsl
from kfp.dsl import Dataset, Input, Output
from mlflow.exceptions import MlflowException

from berth import images
from berth.errors import BerthError
from berth.progress import Progress
from berth.tracking import run_tree, tags
from pipeline import checkout
from pipeline.config.load import load
from pipeline.local import backend, runner, warm_pool
from pipeline.local.environments import environments


class Listener:
    """A reporter that remembers."""

    def __init__(self) -> None:
        self.steps: dict[str, runner.Step] = {}
        self.progress: list[Progress] = []
        self.lines: list[str] = []

    def started(self, step: str) -> None: ...

    def progressed(self, step: str, progress: Progress) -> None:
        self.progress.append(progress)

    def logged(self, step: str, line: str) -> None:
        self.lines.append(line)

    def ended(self, step: runner.Step) -> None:
        self.steps[step.name] = step


@pytest.fixture
def listener(store_file, tmp_path, monkeypatch) -> Listener:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{store_file}")
    return Listener()


@pytest.fixture(scope="module")
def warm(store_file):
    """A pool whose steps are forks of two processes: one that is started takes seconds to import MLflow and kfp."""
    pool = warm_pool.WarmPool()
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{store_file}")
        modules = ("kfp.dsl.executor_main", "mlflow", *warm_pool._STORE)
        pool._shared = warm_pool.WarmProcess(images.CORE, modules, single=False)
        pool._single["read"] = warm_pool.WarmProcess(images.TRAIN, modules[:1], single=False)
    yield pool
    pool.close()


@dsl.component(base_image=images.CORE, install_kfp_package=False)
def finish(status: dsl.PipelineTaskFinalStatus):
    from berth.tracking import pipeline_run, run_tree

    run_tree.close(pipeline_run.parent_run().info.run_id, "FINISHED" if status.state == "SUCCEEDED" else "FAILED")


@dsl.component(base_image=images.CORE, install_kfp_package=False)
def write(text: str, out: Output[Dataset]):
    import sys
    from pathlib import Path

    from berth import progress

    progress.report(1, 2, "half way")
    Path(out.path).write_text(text)
    out.metadata["summary"] = f"{len(text)} characters by {Path(sys.prefix).name}"


@dsl.component(base_image=images.TRAIN, install_kfp_package=False)
def read(text: Input[Dataset], out: Output[Dataset]):
    import sys
    from pathlib import Path

    out.metadata["summary"] = f"{Path(text.path).read_text()} by {Path(sys.prefix).name}"
    Path(out.path).write_text("")


@dsl.component(base_image=images.CORE, install_kfp_package=False)
def blame(kind: str, attempts: str):
    import os
    import signal
    from pathlib import Path

    from berth.errors import BerthError
    from berth.tracking.step_run import step_run

    with Path(attempts).open("a") as stream:
        stream.write("x")
    with step_run("blame"):
        if kind == "user":
            raise BerthError("the column 'txt' is not there.\nName another.")
        if kind == "bug":
            raise ValueError("ours")
        if kind == "killed":
            os.kill(os.getpid(), signal.SIGKILL)


@dsl.pipeline(name="two-images")
def two_images(text: str):
    with dsl.ExitHandler(finish().set_caching_options(False)):
        read(text=write(text=text).outputs["out"])


@dsl.pipeline(name="blamed")
def blamed(kind: str, attempts: str):
    with dsl.ExitHandler(finish().set_caching_options(False)):
        blame(kind=kind, attempts=attempts).set_retry(num_retries=1, backoff_duration="1s")


def test_each_task_runs_in_the_environment_of_its_image(listener):
    result = backend.run_pipeline(two_images, {"text": "python3 it's"}, "x", listener)
    assert listener.steps["write"].summary == "12 characters by core"
    assert listener.steps["read"].summary == "python3 it's by train"
    assert listener.progress == [Progress(1, 2, "half way")]
    assert mlflow.MlflowClient().get_run(result.run_id).info.status == "FINISHED"
    assert not (result.log_dir / "tmp").exists()


def test_only_an_unchanged_task_is_taken_from_the_cache(listener, warm):
    for text, state in (("a", "done"), ("a", "cached"), ("b", "done")):
        backend.run_pipeline(two_images, {"text": text}, "x", listener, environments(warm))
        assert listener.steps["write"].state == state
        assert listener.steps["read"].state == state
        assert listener.steps["finish"].state == "done"


def test_a_change_of_the_code_empties_the_cache(listener, warm, monkeypatch):
    backend.run_pipeline(two_images, {"text": "a"}, "x", listener, environments(warm))
    monkeypatch.setattr(checkout, "code_digest", lambda: "changed")
    backend.run_pipeline(two_images, {"text": "a"}, "x", listener, environments(warm))
    assert listener.steps["write"].state == "done"


@pytest.mark.parametrize(
    ("kind", "message", "attempts"),
    [
        ("user", r"^blame failed: the column 'txt' is not there. Name another. Log: \.berth/logs/x-.*/blame\.log$", 1),
        ("bug", r"^blame failed: ValueError: ours \(a bug: the log has the traceback\)", 2),
        ("killed", r"^blame failed: killed \(SIGKILL\).*smaller batches", 1),
    ],
)
def test_a_failed_step_ends_the_run_with_its_error(listener, warm, tmp_path, kind, message, attempts):
    arguments = {"kind": kind, "attempts": str(tmp_path / "attempts")}
    with pytest.raises(BerthError, match=message):
        backend.run_pipeline(blamed, arguments, "x", listener, environments(warm))
    assert (tmp_path / "attempts").read_text() == "x" * attempts, "only what waiting can fix is tried again"
    client = mlflow.MlflowClient()
    newest = client.search_runs([mlflow.get_experiment_by_name("x").experiment_id], max_results=20)
    parents = [run for run in newest if "mlflow.parentRunId" not in run.data.tags]
    assert parents[0].info.status == "FAILED"
    assert "blame: " in parents[0].data.tags[tags.ERROR]
    children = run_tree.children(client, parents[0].info.run_id)
    assert {child.info.status for child in children} == {"FAILED"}
    assert all(child.data.tags[tags.ERROR] for child in children)


def test_a_full_disk_is_one_line_also_without_mlflow(listener, monkeypatch):
    def full():
        raise OSError(errno.ENOSPC, "No space left on device")

    def lost(*_):
        raise MlflowException("(sqlite3.OperationalError) database or disk is full")

    monkeypatch.setattr(run_tree, "close", lost)
    with pytest.raises(BerthError, match=r"cannot be written \(No space left on device\)"):
        backend.run_pipeline(full, {}, "x", listener)


def test_a_missing_environment_names_the_command_that_makes_it(listener, monkeypatch, tmp_path):
    monkeypatch.setattr(checkout, "CHECKOUT", tmp_path)
    with pytest.raises(BerthError, match=r"berth-core is missing\. Run 'make setup'"):
        backend.run_pipeline(two_images, {"text": "a"}, "x", listener)


@pytest.mark.parametrize("field", ["encoder", "preprocessor"])
def test_missing_encoder_folder_is_said_before_anything_runs(listener, tmp_path, monkeypatch, field):
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "config.yaml"
    file.write_text(f"name: a\nsource: gone.tsv\n{field}: bert\n", encoding="utf-8")
    with pytest.raises(BerthError, match=rf"^{field}: no folder '.*bert'\. Name a TF-Hub text model"):
        backend.run(load(file), file, listener)
    assert [path.name for path in tmp_path.glob("*")] == ["config.yaml"]


def test_a_silent_store_is_one_line_without_its_password(listener, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://me:secret@127.0.0.1:9")
    with pytest.raises(BerthError, match=r"MLflow at http://127\.0\.0\.1:9 does not answer") as caught:
        backend.run_pipeline(two_images, {"text": "a"}, "x", listener)
    assert "secret" not in str(caught.value)
    assert not Path(".berth").exists()


def test_an_interrupt_ends_the_run_and_every_process(store_file, tmp_path):
    import os
    import signal
    import subprocess
    import sys
    import time

    script = tmp_path / "slow.py"
    script.write_text(
        "from kfp import dsl\nfrom pipeline.local import backend\nfrom pathlib import Path\n"
        "@dsl.component(base_image='berth-core', install_kfp_package=False)\n"
        "def sleep(pid: str):\n"
        "    import os, time\n    from pathlib import Path\n"
        "    Path(pid).write_text(str(os.getpid()))\n    time.sleep(60)\n"
        "@dsl.pipeline(name='slow')\ndef slow(pid: str):\n    sleep(pid=pid)\n"
        "class Quiet:\n    def __getattr__(self, name):\n        return lambda *a: None\n"
        f"backend.run_pipeline(slow, dict(pid={str(tmp_path / 'pid')!r}), 'slow', Quiet())\n"
    )
    environment = {**os.environ, "MLFLOW_TRACKING_URI": f"sqlite:///{store_file}", "PYTHONPATH": str(checkout.CHECKOUT)}
    process = subprocess.Popen([sys.executable, str(script)], cwd=tmp_path, env=environment, stderr=subprocess.PIPE)
    while not (tmp_path / "pid").exists() or not (tmp_path / "pid").read_text():
        assert process.poll() is None
        time.sleep(0.1)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=30)
    step = Path(f"/proc/{(tmp_path / 'pid').read_text()}")
    patience = time.monotonic() + 20  # the step is the shell's child: whoever adopts it has to wait for its end
    while step.exists() and time.monotonic() < patience:
        time.sleep(0.1)
    assert not step.exists()
    with sqlite3.connect(store_file) as connection:
        (status,) = connection.execute("select status from runs order by start_time desc limit 1").fetchone()
    assert status == "KILLED"
