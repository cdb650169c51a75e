"""Why a step failed: the last words of its log, and what is added where it could say none."""

import re
import signal
from pathlib import Path

from pipeline import mlflow_store

_BERTH_ERROR = re.compile(r"^(?:berth\.errors\.)?BerthError: (.*)$")
_DEATH = re.compile(r"^berth: (.*)$")
_ANY_ERROR = re.compile(r"^(?:berth: .*|[A-Za-z_][\w.]*(?:Error|Exception|Interrupt|Exit)\b.*)$")


def is_final(log: Path) -> bool:
    """Return whether a step's last try ended in what trying again does not mend: a BerthError, or a kill.

    A cluster's node may be taken away and another be had; on one machine it is memory that has run out.
    """
    last = _last_error(log) if log.exists() else ""
    return bool(_BERTH_ERROR.match(last) or _DEATH.match(last))


def error_in(log: Path) -> str:
    """Return a failed step's last error line: the message alone where it is meant for the user."""
    if not log.exists():
        return "did not start."
    last = mlflow_store.redacted(_last_error(log))
    match = _BERTH_ERROR.match(last) or _DEATH.match(last)
    return match[1] if match else f"{last} (a bug: the log has the traceback)."


def obituary(code: int) -> str:
    """Return the last line of a failed step's log where its own last words do not say what happened."""
    number = -code if code < 0 else code - 128
    if number == signal.SIGKILL:
        return "\nberth: killed (SIGKILL). The system does that when memory runs out: try a smaller batch_size.\n"
    if number == signal.SIGTERM or number == signal.SIGINT:
        return f"\nberth: stopped from outside ({signal.Signals(number).name}).\n"
    if number > 0:
        return f"\nberth: crashed with signal {number}.\n"
    return ""


def _last_error(log: Path) -> str:
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    return next((line for line in reversed(lines) if _ANY_ERROR.match(line)), lines[-1] if lines else "no output.")
