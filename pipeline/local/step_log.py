"""The reason why a step failed: the last error line of its log, and the line that is added where it wrote none."""

import re
import signal
from pathlib import Path

from berth.errors import raised_in
from pipeline import mlflow_store

_DEATH = re.compile(r"^berth: (.*)$")
_ANY_ERROR = re.compile(r"^(?:berth: .*|[A-Za-z_][\w.]*(?:Error|Exception|Interrupt|Exit)\b.*)$")


def is_final(log: Path) -> bool:
    """Return whether a step's last try failed for a reason that another try does not remove: a BerthError, or a kill.

    On a cluster a kill may mean that a node was taken away; on one machine it means that memory has run out.
    """
    last = _last_error(log) if log.exists() else ""
    return bool(raised_in(last) or _DEATH.match(last))


def error_in(log: Path) -> str:
    """Return a failed step's last error line: the message alone where it is meant for the user."""
    if not log.exists():
        return "did not start."
    last = mlflow_store.redacted(_last_error(log))
    if own := raised_in(last):
        return str(own)
    death = _DEATH.match(last)
    return death[1] if death else f"{last} (a bug: the log has the traceback)."


def reported_in(text: str) -> str:
    """Return the last error that a step has written to its log, `text`; empty where there is none."""
    last = next((line for line in reversed(text.splitlines()) if _ANY_ERROR.match(line)), "")
    own = raised_in(last)
    return mlflow_store.redacted(str(own or last))


def obituary(code: int) -> str:
    """Return the last line of a failed step's log where the step itself did not log what happened."""
    number = -code if code < 0 else code - 128
    if number == signal.SIGKILL:
        advice = "try smaller batches or a lower memory_limit"
        return f"\nberth: killed (SIGKILL). The system does that when memory runs out: {advice}.\n"
    if number == signal.SIGTERM or number == signal.SIGINT:
        return f"\nberth: stopped from outside ({signal.Signals(number).name}).\n"
    if number > 0:
        return f"\nberth: crashed with signal {number}.\n"
    return ""


def _last_error(log: Path) -> str:
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    return next((line for line in reversed(lines) if _ANY_ERROR.match(line)), lines[-1] if lines else "no output.")
