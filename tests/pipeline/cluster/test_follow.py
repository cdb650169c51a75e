"""`berth submit --wait`, held against a KFP API on loopback."""

import signal
import threading
import time

import pytest

from pipeline.cluster import follow
from tests.support.kfp_server import Fault

RUNNING = ("RUNNING", {"locate": "SUCCEEDED", "train": "RUNNING"})
DONE = {"locate": "SUCCEEDED", "train": "SUCCEEDED", "evaluate": "SUCCEEDED", "finish": "SUCCEEDED"}


@pytest.mark.parametrize(
    ("state", "tasks", "flags", "code", "verdict"),
    [
        ("SUCCEEDED", DONE | {"push": "SUCCEEDED", "refuse": "SKIPPED"}, [], 0, "BLESSED"),
        ("SUCCEEDED", DONE | {"refuse": "SUCCEEDED"}, [], 0, "NOT BLESSED"),
        ("SUCCEEDED", DONE | {"refuse": "SUCCEEDED"}, ["--fail-if-not-blessed"], 3, "NOT BLESSED"),
        ("SUCCEEDED", {"locate": "SUCCEEDED"}, ["--fail-if-not-blessed"], 0, "UNCHANGED"),
        ("FAILED", {"locate": "SUCCEEDED", "train": "FAILED", "finish": "SUCCEEDED"}, [], 1, ""),
        ("CANCELED", {"locate": "SUCCEEDED", "train": "CANCELED"}, [], 1, ""),
    ],
)
def test_wait_shows_each_step_state_once_and_ends_with_verdict(call, server, state, tasks, flags, code, verdict):
    server.script = [("PENDING", {}), RUNNING, RUNNING, (state, tasks)]
    called = call("submit", "config.yaml", "--host", server.url, "--wait", *flags)
    assert called.code == code, called
    lines = [line for line in called.out.splitlines() if line.startswith(("… train", "✓ train", "✗ train"))]
    assert len(lines) == (2 if "train" in tasks else 1)
    if verdict:
        assert called.out.splitlines()[-1] == f"verdict   {verdict}"
    elif state == "FAILED":
        assert "error: train failed. train ended with exit code 1. 'berth retry sms-spam-" in called.err
    else:
        assert "canceled" in called.err


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
