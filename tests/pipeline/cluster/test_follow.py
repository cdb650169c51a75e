"""`berth submit --wait`, checked with a KFP API on loopback."""

import re
import signal
import threading
import time

import pytest

from pipeline.cluster import follow, runs
from tests.support.cluster_calls import one_line
from tests.support.kfp_server import Fault
from tests.support.kubernetes_pods import Pod

RUNNING = ("RUNNING", {"locate": "SUCCEEDED", "train": "RUNNING"})
BEGUN = {"locate": "SUCCEEDED", "compare": "SUCCEEDED"}
DONE = BEGUN | {"train": "SUCCEEDED", "evaluate": "SUCCEEDED", "finish": "SUCCEEDED"}


@pytest.mark.parametrize(
    ("state", "tasks", "flags", "code", "verdict"),
    [
        ("SUCCEEDED", DONE | {"push": "SUCCEEDED", "refuse": "SKIPPED"}, [], 0, "BLESSED"),
        ("SUCCEEDED", DONE | {"refuse": "SUCCEEDED"}, [], 0, "NOT BLESSED"),
        ("SUCCEEDED", DONE | {"refuse": "SUCCEEDED"}, ["--fail-if-not-blessed"], 3, "NOT BLESSED"),
        ("FAILED", BEGUN | {"train": "FAILED", "finish": "FAILED"}, [], 1, ""),
    ],
)
def test_wait_shows_each_step_state_once_and_ends_with_verdict(call, server, state, tasks, flags, code, verdict):
    server.script = [("PENDING", {}), RUNNING, RUNNING, (state, tasks)]
    called = call("submit", "config.yaml", "--host", server.url, "--wait", *flags)
    assert called.code == code, called
    lines = [line for line in called.out.splitlines() if re.match(". train", line)]
    assert len(lines) == 2
    if verdict:
        assert called.out.splitlines()[-1] == f"verdict   {verdict}"
    else:
        assert "error: train failed. 'berth retry sms-spam-" in called.err
        assert "✗ finish" not in called.out


@pytest.mark.parametrize(
    ("late", "tasks", "code", "words"),
    [
        (3, DONE | {"refuse": "SUCCEEDED"}, 3, "verdict   NOT BLESSED"),
        (3, BEGUN | {"finish": "SUCCEEDED"}, 0, "verdict   UNCHANGED"),
        (99, DONE | {"refuse": "SUCCEEDED"}, 1, "does not tell the states of its steps"),
    ],
)
def test_the_verdict_waits_until_the_steps_have_ended(call, server, monkeypatch, late, tasks, code, words):
    """KFP stores that a run has ended before it stores that its steps have."""
    monkeypatch.setattr(follow, "SETTLE", 5)
    begun = BEGUN | ({"train": "RUNNING"} if "train" in tasks else {})
    server.script = [RUNNING, *[("SUCCEEDED", begun)] * late, ("SUCCEEDED", tasks)]
    called = call("submit", "config.yaml", "--host", server.url, "--wait", "--fail-if-not-blessed")
    assert called.code == code, called
    assert words in called.out + called.err


def test_a_cancelled_run_is_not_reported_as_failed(call, server, monkeypatch):
    """KFP ends it as FAILED; its history has that it was cancelled."""
    monkeypatch.setattr(follow, "SETTLE", 2)
    states = ["RUNNING", "CANCELING", "RUNNING", "FAILED"]
    server.script = [(state, BEGUN | {"train": "RUNNING"}) for state in states]
    called = call("submit", "config.yaml", "--host", server.url, "--wait")
    assert re.search(r"^error: sms-spam-\S+: canceled\.$", called.err), called.err
    assert "CANCELED" in call("runs", "--host", server.url).out


@pytest.mark.parametrize(
    ("why", "words"),
    [
        ({"log": "Traceback\nberth.errors.BerthError: the loss is NaN.\nI01 launcher: uploading"}, "the loss is NaN."),
        ({"log": "KeyError: 'x'", "reason": "OOMKilled"}, "ran out of memory: raise cluster.memory"),
        ({"reason": "DeadlineExceeded"}, "stopped at its time limit"),
        ({"log": "nothing of use"}, "train failed. 'berth retry"),
    ],
)
def test_a_failed_step_says_why_it_failed(call, server, kubeconfig, monkeypatch, why, words):
    """KFP's tasks have no errors: the pod of the last try has."""
    monkeypatch.setattr(follow, "SETTLE", 2)
    made = runs.submit

    def submit(*arguments):
        run = made(*arguments)
        server.pods = [Pod(run.run_id, "train", "ValueError: of the first try"), Pod(run.run_id, "evaluate", "x")]
        server.pods.append(Pod(run.run_id, "train", number=1, **why))
        return run

    monkeypatch.setattr(runs, "submit", submit)
    server.script = [RUNNING, ("FAILED", BEGUN | {"train": "FAILED", "finish": "FAILED"})]
    called = call("submit", "config.yaml", "--host", server.url, "--wait")
    assert words in one_line(called)


def test_pipeline_conditions_and_groups_are_not_shown_as_steps(call, server):
    server.script = [("SUCCEEDED", DONE | {"condition-something-new-1": "SUCCEEDED", "root": "SUCCEEDED"})]
    called = call("submit", "config.yaml", "--host", server.url, "--wait")
    assert "condition" not in called.out
    assert "root" not in called.out


def test_ctrl_c_while_waiting_leaves_the_run_going_and_says_so(call, server, monkeypatch):
    server.script = [RUNNING]
    main_thread = threading.main_thread().ident
    monkeypatch.setattr(follow, "POLL", 5)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a job in the background ignores it

    def interrupt() -> None:
        while not server.asked(r"GET .*/runs/"):
            time.sleep(0.02)
        time.sleep(0.2)
        signal.pthread_kill(main_thread, signal.SIGINT)

    threading.Thread(target=interrupt, daemon=True).start()
    try:
        called = call("submit", "config.yaml", "--host", server.url, "--wait")
    finally:
        signal.signal(signal.SIGINT, before)
    assert called.code == 130
    assert "the run continues; 'berth cancel sms-spam-" in called.err
    assert not server.asked(":terminate")


def test_waiting_outlives_an_api_that_is_away_for_a_while(call, server):
    server.script = [("SUCCEEDED", DONE | {"push": "SUCCEEDED"})]
    server.faults = [Fault(r"GET .*/runs/", 503, 12)]
    called = call("submit", "config.yaml", "--host", server.url, "--wait")
    assert called.code == 0, called.err
    assert "verdict   BLESSED" in called.out
