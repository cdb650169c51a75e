"""Processes in an image's environment: the variables that all of them get, one that runs a module, and talk with it."""

import contextlib
import json
import os
import subprocess
import tempfile
from collections.abc import Iterator
from typing import Any

from berth.errors import check_exit
from pipeline import checkout


def environment_variables(image: str) -> dict[str, str]:
    """Return the variables of a process in the environment of `image`, which imports this checkout's code.

    The working folder is never on its sys.path, and it draws without a display, whatever a notebook has set.
    """
    path = os.pathsep.join([str(checkout.environment_bin(image)), os.environ.get("PATH", os.defpath)])
    fixed = {"PATH": path, "PYTHONPATH": str(checkout.CHECKOUT), "PYTHONSAFEPATH": "1", "MPLBACKEND": "Agg"}
    return os.environ | fixed


@contextlib.contextmanager
def module_process(image: str, module: str, *arguments: str, what: str = "") -> Iterator["subprocess.Popen[str]"]:
    """Start `module` in the environment of `image`, with pipes to talk to it; after the block, wait for its end.

    With BERTH_DEBUG its stderr is ours.

    Args:
        what: What failed where the process fails, for the error; the module's name by default.

    Raises:
        BerthError: the process raised one, or a signal ended it.
        RuntimeError: it ended with another error; the message holds its stderr.
    """
    debug = bool(os.environ.get("BERTH_DEBUG"))
    quiet = {} if debug else {"TF_CPP_MIN_LOG_LEVEL": "3"}
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as errors:
        with subprocess.Popen(
            [str(checkout.environment_bin(image) / "python3"), "-m", module, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=None if debug else errors,
            encoding="utf-8",
            env=environment_variables(image) | quiet,
        ) as process:
            yield process
        errors.seek(0)
        check_exit(process.returncode, errors.read(), what or f"{module} failed")


def ask(process: "subprocess.Popen[str]", question: object) -> Any:
    """Write `question` as a line of JSON and return the answer, a line of JSON; None: the process has ended."""
    assert process.stdin is not None
    assert process.stdout is not None
    with contextlib.suppress(BrokenPipeError):
        process.stdin.write(json.dumps(question) + "\n")
        process.stdin.flush()
    answer = process.stdout.readline()
    return json.loads(answer) if answer else None


def run_module(image: str, module: str, *arguments: str, stdin: str = "") -> str:
    """Run `module` in the environment of `image` and return what it prints; raises as `module_process` does."""
    with module_process(image, module, *arguments) as process:
        printed, _ = process.communicate(stdin)
    return printed
