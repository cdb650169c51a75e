"""Steps in warm processes, compared with the same steps run by their ordinary command."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from unittest import mock

import pytest

from berth import images
from pipeline import checkout
from pipeline.dags import compiler
from pipeline.local import environments, warm_pool
from pipeline.local.warm_pool import WarmPool, WarmProcess

MODES = ("ordinary", "single", "forking")
LIGHT = ("kfp.dsl.executor_main",)
EXECUTORS = [
    executor["container"]
    for document in compiler.read((checkout.CHECKOUT / "pipeline.yaml").read_text())
    for executor in document.get("deploymentSpec", {}).get("executors", {}).values()
]
PROGRAM = """
from kfp.dsl import *

def step(kind: str, folder: str):
    import os, pathlib, signal, subprocess, sys, tempfile, time
    print("stdin", repr(sys.stdin.read()), "tmp", tempfile.gettempdir())
    print("group", os.getpgid(0) == os.getpid() or os.getpgid(0) == os.getppid(), "own", os.environ["OWN"])
    print("to stderr", file=sys.stderr)
    folder = pathlib.Path(folder)
    if kind == "bug":
        raise ValueError("ours")
    if kind == "exit":
        sys.exit(7)
    if kind == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    if kind == "interrupted":
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(5)
    if kind in ("sleep", "deaf"):
        child = subprocess.Popen(["sleep", "60"])
        if kind == "deaf":
            signal.signal(signal.SIGINT, signal.SIG_IGN)
        try:
            (folder / "pids").write_text(f"{os.getpid()} {child.pid}")
            time.sleep(60)
        except KeyboardInterrupt:
            (folder / "left").write_text("a checkpoint")
            raise
"""


def request(folder: Path, kind: str) -> list[str]:
    """Return the command of the step above, by the script that the compiled pipeline has."""
    values = {"kind": kind, "folder": str(folder)}
    inputs = {"inputs": {"parameterValues": values}, "outputs": {"outputFile": str(folder / "out.json")}}
    script = EXECUTORS[0]["command"][2]
    arguments = ["--executor_input", json.dumps(inputs), "--function_to_execute", "step"]
    return ["sh", "-ec", script, PROGRAM, *arguments]


@pytest.fixture(scope="module")
def shared():
    """A process of the core image that forks."""
    process = WarmProcess(images.CORE, LIGHT, single=False)
    yield process
    process.close()


@pytest.fixture
def pool(request, shared):
    """A pool for one step of a mode: it has no process, one for this step, or one that forks."""
    own = WarmPool()
    if request.param == "forking":
        own._shared = shared
    elif request.param == "single":
        own._shared = shared
        own._single["step"] = WarmProcess(images.TRAIN, LIGHT, single=True)
    yield own
    for process in own._single.values():
        process.close()


def execute(pool: WarmPool, folder: Path, kind: str) -> tuple[int, str]:
    """Run the step and return its exit code and log."""
    log = folder / f"{kind}.log"
    image = images.TRAIN if pool._single else images.CORE
    variables = {"TMPDIR": str(folder), "OWN": "mine", "PYTHONUNBUFFERED": "1"}
    code = environments._execute(pool, image, request(folder, kind), variables, log, lambda line: None)
    return code, log.read_text()


@pytest.mark.parametrize("executor", EXECUTORS, ids=lambda executor: executor["args"][-1])
def test_the_script_that_kfp_compiles_is_known(executor):
    """An update of kfp that changes the script fails here; until then, steps would silently start cold."""
    shell, option, script, _ = executor["command"]
    assert (shell, option) == ("sh", "-ec")
    assert warm_pool._COMMAND.fullmatch(script.strip())


@pytest.mark.parametrize("kind", ["fine", "bug", "exit", "killed"])
@pytest.mark.parametrize("pool", ["ordinary", "forking"], indirect=True)
def test_a_step_has_its_log_and_exit_code(pool, tmp_path, kind):
    code, log = execute(pool, tmp_path, kind)
    assert {0: "fine", 1: "bug", 7: "exit", -signal.SIGKILL: "killed", 137: "killed"}[code] == kind
    assert f"stdin '' tmp {tmp_path}\n" in log
    assert "group True own mine\n" in log
    assert "to stderr\n" in log
    assert ("ValueError: ours" in log.splitlines()[-1]) == (kind == "bug")


@pytest.mark.parametrize("kind", ["fine", "bug", "killed"])
@pytest.mark.parametrize("pool", ["single"], indirect=True)
def test_a_step_alone_has_its_log_and_exit_code(pool, tmp_path, kind):
    process = pool._single["step"]
    test_a_step_has_its_log_and_exit_code(pool, tmp_path, kind)
    assert process._process.poll() is not None, "the step ran in it"


@pytest.mark.parametrize("pool", ["forking"], indirect=True)
def test_a_forking_process_runs_one_step_after_another(pool, tmp_path):
    started = []
    start = pool._shared.start
    pool._shared.start = lambda step: started.append(start(step)) or started[-1]
    try:
        assert [execute(pool, tmp_path, "fine")[0], execute(pool, tmp_path, "exit")[0]] == [0, 7]
    finally:
        del pool._shared.start
    assert len({running.pid for running in started}) == 2


class Interrupt(BaseException):
    """What Ctrl-C raises, without pytest's own meaning of that."""


@pytest.mark.parametrize("kind", ["sleep", "deaf"])
@pytest.mark.parametrize("pool", MODES, indirect=True)
def test_an_interrupted_step_leaves_in_order_or_is_killed(pool, tmp_path, monkeypatch, kind):
    monkeypatch.setattr(environments, "_LEAVING", 20 if kind == "sleep" else 0.7)

    def interrupt(*_: object) -> None:
        if (tmp_path / "pids").exists() and (tmp_path / "pids").read_text():
            signal.setitimer(signal.ITIMER_REAL, 0)
            raise Interrupt

    before = signal.signal(signal.SIGALRM, interrupt)
    signal.setitimer(signal.ITIMER_REAL, 0.2, 0.2)
    try:
        with pytest.raises(Interrupt):
            execute(pool, tmp_path, kind)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert (tmp_path / "left").exists() == (kind == "sleep")
    assert gone(*(tmp_path / "pids").read_text().split())


def test_ctrl_c_reaches_a_step_of_a_background_job(tmp_path):
    """A shell that starts a job in the background lets it ignore SIGINT, which the job's processes inherit."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        code, log = execute(WarmPool(), tmp_path, "interrupted")
    finally:
        signal.signal(signal.SIGINT, before)
    assert log.splitlines()[-1] == "KeyboardInterrupt"
    assert code != 0


@pytest.mark.parametrize("single", [True, False])
def test_a_step_falls_back_from_a_dead_process(shared, tmp_path, single):
    dead = WarmProcess(images.TRAIN, LIGHT, single)
    os.kill(dead._process.pid, signal.SIGKILL)
    pool = WarmPool()
    pool._shared = shared if single else dead
    if single:
        pool._single["step"] = dead
    assert execute(pool, tmp_path, "fine")[0] == 0
    dead.close()


def test_a_busy_process_is_not_waited_for(shared):
    with shared._busy:
        assert shared.start({}) is None


def test_another_script_is_not_run_in_a_warm_process(shared, tmp_path):
    pool = WarmPool()
    pool._shared = shared
    command = request(tmp_path, "fine")
    command[2] = "echo new; " + command[2]
    assert pool.start(images.CORE, command, {}) is None


@pytest.mark.parametrize(
    ("kind", "expected"), [("training", [images.CORE, images.VALIDATE]), ("pretraining", [images.CORE])]
)
def test_a_run_starts_the_processes_of_its_kind(tmp_path, monkeypatch, kind, expected):
    started = []
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(warm_pool.mlflow_store, "use_tracking_uri", lambda: "")
    monkeypatch.setattr(warm_pool, "WarmProcess", lambda image, *_, **__: started.append(image) or mock.Mock())
    with warm_pool.pool_for_run(in_environments=True, kind=kind):
        assert started == expected


@pytest.mark.parametrize("ending", ["kill -9", "close"])
def test_no_process_outlives_its_pool(tmp_path, ending):
    script = (
        "import time\nfrom berth import images\nfrom pipeline.local.warm_pool import *\npool = WarmPool()\n"
        "pool._shared = WarmProcess(images.CORE, ('time',), False)\n"
        "pool._single['train'] = WarmProcess(images.TRAIN, ('tensorflow',), True)\n"
        "print(pool._shared._process.pid, pool._single['train']._process.pid, flush=True)\n"
        "time.sleep(0.7)\nif input() == 'close':\n    pool.close()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script], cwd=checkout.CHECKOUT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as owner:
        pids = owner.stdout.readline().split()
        time.sleep(0.7)
        if ending == "kill -9":
            owner.kill()
        else:
            owner.communicate("close\n")
    assert gone(*pids)


def gone(*pids: str) -> bool:
    """Return whether these processes end within 20 s; as zombies, where another process has to wait for them."""
    deadline = time.monotonic() + 20
    while True:
        states = [Path(f"/proc/{pid}/stat") for pid in pids]
        left = [path for path in states if path.exists() and ") Z " not in path.read_text()]
        if not left or time.monotonic() > deadline:
            return not left
        time.sleep(0.1)
