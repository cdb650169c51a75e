"""Output where the encoding lacks characters, in a process of its own: streams are opened at its start."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
PROGRESS = """
import sys
from pathlib import Path
from rich.console import Console
from pipeline.display import encoding, run_progress
from pipeline.display.cluster_runs import StepLines
from pipeline.local.runner import Step
from types import SimpleNamespace

encoding.prepare()
console = Console(file=sys.stdout, force_terminal={terminal})
with run_progress.TerminalReporter(console, False, ["train"]) as reporter:
    for state in ("done", "failed"):
        reporter.started("ingest")
        reporter.ended(Step("ingest", state, 1.0, "two · gr\\u00fc\\u00dfe", {{}}))
task = SimpleNamespace(state="RUNNING", start_time=None, end_time=None, error=None)
StepLines(console)("train", task)
"""


def output(code: str, encoding: str) -> str:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONIOENCODING": encoding, "TERM": "xterm"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, timeout=60)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout.decode(encoding)


@pytest.mark.parametrize("terminal", [False, True])
def test_ascii_terminals_get_ascii_marks(terminal):
    shown = output(PROGRESS.format(terminal=terminal), "ascii")
    for expected in ("+", "x", "~", "two - gr\\xfc\\xdfe"):
        assert expected in shown


def test_utf8_terminals_get_the_marks_as_they_are():
    shown = output(PROGRESS.format(terminal=False), "utf-8")
    for expected in ("✓", "✗", "…", "two · grüße"):
        assert expected in shown


def test_child_processes_write_utf8():
    code = "import os; from pipeline.display import encoding; encoding.prepare(); print(os.environ['PYTHONIOENCODING'])"
    assert output(code, "latin-1").strip() == "utf-8"
