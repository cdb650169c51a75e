"""`berth runs --host`, `cancel` and `retry`, and the README's commands, checked with a KFP API on loopback."""

import os
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from pipeline.cluster import api
from tests.support.cluster_calls import one_line
from tests.support.kfp_resources import move
from tests.support.kfp_server import Fault

README = Path(__file__).parents[3] / "README.md"


def test_runs_lists_cluster_runs_newest_first_across_pages(call, server, monkeypatch):
    monkeypatch.setattr(api, "_PAGE", 2)
    for _ in range(5):
        call("submit", "config.yaml", "--host", server.url)
    names = [run["display_name"] for run in server.runs.values()]
    lines = call("runs", "--host", server.url, "-n", "4").out.splitlines()
    assert [line.split()[0] for line in lines[1:]] == names[:0:-1]
    assert "PENDING" in lines[1]
    assert "sms-spam-" in call("runs", "sms-spam", "--host", server.url).out
    assert "no experiment of the name 'other'" in one_line(call("runs", "other", "--host", server.url))


def test_active_run_is_cancelled_by_name_or_id(call, server):
    """A run that has ended or does not exist cannot be cancelled."""
    call("submit", "config.yaml", "--host", server.url)
    ((run_id, run),) = server.runs.items()
    assert call("cancel", run["display_name"], "--host", server.url).code == 0
    assert run["state"] == "CANCELING"
    assert call("cancel", run_id, "--host", server.url).code == 0  # KFP itself refuses a second time
    move(run, "FAILED")
    assert "has ended already (CANCELED)" in one_line(call("cancel", run_id, "--host", server.url))
    assert "no run has the name or id 'nothing'" in one_line(call("cancel", "nothing", "--host", server.url))
    unknown = "00000000-0000-0000-0000-000000000000"
    assert "not found" in one_line(call("cancel", unknown, "--host", server.url))


def test_a_cancellation_whose_answer_was_lost_is_done(call, server):
    call("submit", "config.yaml", "--host", server.url)
    ((run_id, run),) = server.runs.items()
    server.faults = [Fault(":terminate", "lost")]
    called = call("cancel", run_id, "--host", server.url)
    assert (called.code, run["state"]) == (0, "CANCELING"), called.err


@pytest.mark.parametrize("kind", [None, "lost", 503])
def test_failed_run_is_retried_exactly_once(call, server, kind):
    """It is retried once even if the server's answer is lost, late or an error."""
    call("submit", "config.yaml", "--host", server.url)
    (run,) = server.runs.values()
    assert "Only a run that failed" in one_line(call("retry", run["display_name"], "--host", server.url))
    run["state"] = "FAILED"
    server.faults = [Fault(":retry", kind)] if kind else []
    called = call("retry", run["display_name"], "--host", server.url)
    assert called.code == 0, called.err
    assert run["state"] == "RUNNING"
    assert len(server.asked(":retry")) == 1


def test_the_readmes_commands_work_as_they_are_written(call, server, folder, monkeypatch):
    """Bash reads each of them; the first one is a process too, as a person starts it, and the others are calls."""
    section = README.read_text(encoding="utf-8").partition("## On a cluster")[2].partition("\n## ")[0]
    blocks = re.findall(r"(?:^    .*\n)+", section, re.MULTILINE)
    (config,) = [block for block in blocks if block.startswith("    name: reviews")]
    (folder / "reviews.yaml").write_text(textwrap.dedent(config))
    (script,) = [textwrap.dedent(block) for block in blocks if "berth submit" in block]
    export, first, *commands = script.replace("http://localhost:8080", server.url).splitlines()
    done = bash(f"{export}\n{first}")
    assert done.returncode == 0, first + done.stdout + done.stderr
    monkeypatch.setenv("KF_PIPELINES_ENDPOINT", server.url)
    (run,) = server.runs.values()
    for command in commands:
        run["state"] = "FAILED" if " retry " in command else "RUNNING"
        named = command.replace("RUN ", f"{run['display_name']} ")
        words = bash(f"{export}\nberth() {{ printf '%s\\0' \"$@\"; }}\n{named}").stdout.split("\0")[:-1]
        called = call(*words)
        assert called.code == 0, (words, called)
    assert [len(server.asked(f":{action}$")) for action in ("terminate", "retry", "disable", "enable")] == [1, 1, 1, 2]
    assert not server.schedules


def bash(script: str) -> "subprocess.CompletedProcess[str]":
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path}
    return subprocess.run(["bash", "-euc", script], env=environment, capture_output=True, text=True, timeout=120)
