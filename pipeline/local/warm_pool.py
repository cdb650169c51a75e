"""Warm processes of a run: they have imported what its steps need by the time that these are to run.

They are a head start and nothing else. A step goes to one only if kfp's script for it is the known one; where there is
none, or it is busy or dead, the step runs by its ordinary command.
"""

import contextlib
import json
import os
import re
import select
import signal
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import IO

from berth import images
from berth.errors import BerthError
from pipeline import checkout, home, mlflow_store
from pipeline.local.environment_process import environment_variables

_EXECUTOR = ("kfp.dsl.executor_main", "mlflow")
_STORE = ("mlflow.store.tracking.sqlalchemy_store", "mlflow.store.model_registry.sqlalchemy_store")
_SHARED = (*_EXECUTOR, *_STORE, "pandas", "components.ingest.step", "components.push.step")
"""Imports of the process of the core image, of which each of that image's steps is a fork."""
_IMPORTS = {
    "validate": (images.VALIDATE, ("components.validate", *_EXECUTOR, "tensorflow_data_validation", *_STORE)),
    "train": (images.TRAIN, ("tensorflow", "tensorflow_text", *_EXECUTOR, "components.train.step", *_STORE)),
    "evaluate": (
        images.TRAIN,
        (
            "components.evaluate.serving_check",  # first: it starts the process that loads the model
            *_EXECUTOR,
            "components.evaluate.step",
            "pyarrow.parquet",
            *_STORE,
        ),
    ),
}
"""Image and imports, in this order, of the process for one step."""
_NEXT = {"ingest": "validate", "validate": "train"}
"""The process to start when a step runs, and so did not come from the cache."""
_LONG_STEP, _AFTER_LONG_STEP, _NEARLY = "train", "evaluate", 0.8
"""Memory belongs to the long step; the process for the step after it starts when this part of it is done."""
_COMMAND = re.compile(
    r"program_path=\$\(mktemp -d\)\s+"
    r'printf "%s" "\$0" > "\$program_path/ephemeral_component\.py"\s+'
    r"_KFP_RUNTIME=true python3 -m kfp\.dsl\.executor_main\s+"
    r'--component_module_path\s+"\$program_path/ephemeral_component\.py"\s+"\$@"\s*'
)
"""The script by which kfp runs a component, and which berth.warm_process stands for."""


@dataclass(frozen=True)
class Running:
    """A step that runs in a warm process: as much of a Popen as its caller needs."""

    pid: int
    """Also the id of its process group."""
    stdout: IO[str]
    wait: Callable[[float | None], int]


class WarmProcess:
    """A process of the environment of `image` that has imported `modules`.

    Args:
        single: It becomes one step; otherwise it forks for each.
    """

    def __init__(self, image: str, modules: tuple[str, ...], single: bool) -> None:
        self._single = single
        self._busy = threading.Lock()
        self._step = 0
        self._control, other = socket.socketpair()
        mode = "single" if single else "forking"
        with other:
            self._process = subprocess.Popen(
                [str(checkout.environment_bin(image) / "python3"), "-m", "berth.warm_process", mode, *modules],
                stdin=other.fileno(),
                # What a single one prints while it imports belongs to its step's log.
                stdout=subprocess.PIPE if single else subprocess.DEVNULL,
                stderr=subprocess.STDOUT,
                encoding="utf-8",
                errors="replace",
                env=environment_variables(image) | {"PYTHONUNBUFFERED": "1", "_KFP_RUNTIME": "true"},
                process_group=0,
            )

    def close(self) -> None:
        """Kill it, and its step if one still runs."""
        self._control.close()
        running = self._process.pid if self._process.poll() is None else 0
        for group in filter(None, (running, self._step)):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(group, signal.SIGKILL)
        self._process.wait()
        if self._process.stdout:
            self._process.stdout.close()

    def start(self, request: Mapping[str, object]) -> Running | None:
        """Start a step; None: this process is busy or dead."""
        if not self._busy.acquire(blocking=False):
            return None
        line = json.dumps(request).encode() + b"\n"
        try:
            if self._single:
                assert self._process.stdout is not None
                self._control.sendall(line)
                return Running(int(self._answer()), self._process.stdout, self._process.wait)
            output, other = os.pipe()
            with os.fdopen(other, "wb"), contextlib.ExitStack() as unless_started:
                stdout = unless_started.enter_context(os.fdopen(output, encoding="utf-8", errors="replace"))
                sent = socket.send_fds(self._control, [line], [other])
                self._control.sendall(line[sent:])
                self._step = int(self._answer())
                unless_started.pop_all()
            return Running(self._step, stdout, self._exit_code)
        except (OSError, ValueError):  # it is dead, and stays busy
            return None

    def _exit_code(self, timeout: float | None = None) -> int:
        if not select.select([self._control], [], [], timeout)[0]:
            raise subprocess.TimeoutExpired("step", timeout or 0)
        answer = self._answer()
        if not answer:  # it was killed
            return -signal.SIGKILL
        self._step = 0
        self._busy.release()
        return int(answer)

    def _answer(self) -> str:
        """Return the process's next line; empty: it is dead."""
        line = ""
        while not line.endswith("\n") and (part := self._control.recv(1)):
            line += part.decode("ascii")
        return line


class WarmPool:
    """The warm processes of one run."""

    def __init__(self) -> None:
        self._shared: WarmProcess | None = None
        self._single: dict[str, WarmProcess] = {}

    def prepare(self, step: str = "") -> None:
        """Start the process for all steps of the core image, and the one for `step` if given, unless they are there."""
        with contextlib.suppress(OSError, BerthError):  # the step itself reports it
            if self._shared is None:
                self._shared = WarmProcess(images.CORE, _SHARED, single=False)
            if step and step not in self._single:
                image, modules = _IMPORTS[step]
                self._single[step] = WarmProcess(image, modules, single=True)

    def start(self, image: str, command: list[str], variables: Mapping[str, str]) -> Running | None:
        """Start `command` in a warm process, and prepare for what follows it; None: no process is ready for it."""
        match command:
            case ["sh", "-ec", script, program, *arguments] if _COMMAND.fullmatch(script.strip()):
                step = arguments[arguments.index("--function_to_execute") + 1]
            case _:
                return None
        if self._shared is None:  # no run of this pool's, but a single call
            return None
        if step in _NEXT:
            self.prepare(_NEXT[step])
        if step == _LONG_STEP and (early := self._single.pop(_AFTER_LONG_STEP, None)):
            early.close()
        process = self._shared if image == images.CORE else self._single.get(step)
        environment = environment_variables(image) | dict(variables) | {"_KFP_RUNTIME": "true"}
        request = {"arguments": arguments, "program": program, "environment": environment}
        return process.start(request) if process else None

    def progressed(self, step: str, share: float) -> None:
        """Take note that this share of a step that runs is done, from 0 to 1."""
        if self._shared and step == _LONG_STEP and share >= _NEARLY:
            self.prepare(_AFTER_LONG_STEP)

    def close(self) -> None:
        for process in (*self._single.values(), *filter(None, [self._shared])):
            process.close()


@contextlib.contextmanager
def pool_for_run(in_environments: bool, kind: str = "training") -> Iterator[WarmPool]:
    """Yield a pool that prepares for the first steps of a run of that kind of pipeline; at its end it is closed.

    In pre-training only the steps of the core image start warm.
    """
    pool = WarmPool()
    try:
        if in_environments:
            mlflow_store.use_tracking_uri()  # the processes inherit its variables
            # Where this code has run before, ingest, validate and train may well come from the cache.
            ran_before = (home.berth_home() / "cache" / checkout.code_digest()).is_dir()
            first = "evaluate" if ran_before else "validate"
            pool.prepare(first if kind == "training" else "")
        yield pool
    finally:
        pool.close()
