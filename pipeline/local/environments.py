"""Steps as processes in the environments that stand for the images."""

import contextlib
import functools
import os
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

from kfp import local

from berth import progress
from pipeline import checkout
from pipeline.local.environment_process import environment_variables
from pipeline.local.runner import StepRunner
from pipeline.local.warm_pool import WarmPool

_LEAVING = 25
"""Seconds that an interrupted step has to leave a checkpoint."""


def environments(pool: WarmPool | None = None) -> StepRunner:
    """Return the runner of steps as processes, each in the environment that stands for its image.

    Where `pool` has a warm process for a step, the step runs there.
    """
    execute = functools.partial(_execute, pool or WarmPool())
    return StepRunner(local.SubprocessRunner(use_venv=False), checkout.code_digest(), execute)


def _execute(
    pool: WarmPool, image: str, command: list[str], variables: dict[str, str], log: Path, tell: Callable[[str], None]
) -> int:
    """See StepRunner. The command gets its own process group: stopping its shell alone would leave the step running."""
    step = command[command.index("--function_to_execute") + 1]
    with log.open("a", encoding="utf-8") as stream:
        process = pool.start(image, command, variables) or subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            errors="replace",
            env=environment_variables(image) | variables,
            process_group=0,
            preexec_fn=_heed_interrupts,
        )
        assert process.stdout is not None
        with process.stdout:
            try:
                for line in process.stdout:
                    stream.write(line)
                    stream.flush()
                    if made := progress.parse(line):
                        pool.progressed(step, made.done / max(made.total, 1))
                    tell(line.rstrip("\n"))
                return process.wait(None)
            except BaseException:
                for signal_number, patience in ((signal.SIGINT, _LEAVING), (signal.SIGKILL, 10)):
                    with contextlib.suppress(ProcessLookupError):
                        os.killpg(process.pid, signal_number)
                    with contextlib.suppress(subprocess.TimeoutExpired):
                        process.wait(patience)
                        break
                raise


def _heed_interrupts() -> None:
    """Undo what a shell does to a job in the background: it ignores SIGINT, and so would the step."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
