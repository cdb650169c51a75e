"""One scheduled run: `berth run --scheduled CONFIG`, or `berth pretrain CONFIG`, with its log and its lock."""

import datetime
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

from berth.errors import BerthError, printable
from berth.storage.locks import LockTimeout, locked
from pipeline import home, mlflow_store
from pipeline.config.load import load


@dataclass(frozen=True)
class Job:
    """A run that has been started."""

    name: str
    log: Path
    process: "subprocess.Popen[bytes]"
    _started: float = field(default_factory=time.monotonic)

    def outcome(self) -> str | None:
        """Return in one line how the run ended; None while it goes on."""
        code = self.process.poll()
        if code is None:
            return None
        seconds = time.monotonic() - self._started
        ended = "done" if code == 0 else f"exit code {code}"
        return f"{self.name}: {ended} after {seconds:.0f} s{self._reason() if code else ''}"

    def stop(self, timeout: float) -> None:
        """End the run the way that Ctrl-C does; kill it if it has not ended after `timeout` seconds."""
        self.process.terminate()
        try:
            self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def _reason(self) -> str:
        lines = self.log.read_text(encoding="utf-8", errors="replace").splitlines()
        last = next((line for line in reversed(lines) if line.strip()), "no output")
        return f": {printable(mlflow_store.redacted(last))}"


def start(name: str, config: str) -> Job | None:
    """Start a run of `config` for the schedule `name` in this folder; None: another scheduled run goes on.

    The run inherits the lock that says so: one that has survived its scheduler's death holds back the next.

    Raises:
        OSError: the log cannot be written, or no process can be made.
    """
    logs = home.writable_home() / "logs" / "scheduler"
    logs.mkdir(parents=True, exist_ok=True)
    log = logs / f"{name}-{datetime.datetime.now():%Y%m%d-%H%M%S-%f}.log"
    command = [str(Path(sys.executable).with_name("berth")), *_command(Path.cwd() / config)]
    try:
        with locked(home.writable_home() / "running.lock", timeout=0) as descriptor, log.open("wb") as stream:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=subprocess.STDOUT,
                pass_fds=[descriptor],
                process_group=0,  # a Ctrl-C for the scheduler is passed on once, by the scheduler
            )
    except LockTimeout:
        return None
    return Job(name, log, process)


def _command(config: Path) -> list[str]:
    """Return the command for one run of `config`; of a file that cannot be read, one that says why."""
    try:
        kind = load(config).kind
    except BerthError:
        kind = "training"
    return ["pretrain", str(config)] if kind == "pretraining" else ["run", "--scheduled", str(config)]
