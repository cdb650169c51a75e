"""Steps as processes in the environments that stand for the images."""

import contextlib
import os
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

from kfp import local

from pipeline import checkout
from pipeline.local.environment_process import environment_variables
from pipeline.local.runner import StepRunner

_LEAVING = 25
"""Seconds that an interrupted step has to leave a checkpoint."""


def environments() -> StepRunner:
    """Return the runner of steps as processes, each in the environment that stands for its image."""
    return StepRunner(local.SubprocessRunner(use_venv=False), checkout.code_digest(), _execute)


def _execute(image: str, command: list[str], variables: dict[str, str], log: Path, tell: Callable[[str], None]) -> int:
    """See StepRunner. The command gets its own process group: stopping its shell alone would leave the step running."""
    with (
        log.open("a", encoding="utf-8") as stream,
        subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            errors="replace",
            env=environment_variables(image) | variables,
            process_group=0,
        ) as process,
    ):
        assert process.stdout is not None
        try:
            for line in process.stdout:
                stream.write(line)
                stream.flush()
                tell(line.rstrip("\n"))
            return process.wait()
        except BaseException:
            for signal_number, patience in ((signal.SIGINT, _LEAVING), (signal.SIGKILL, 10)):
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal_number)
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(patience)
                    break
            raise
