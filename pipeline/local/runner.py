"""Parts of a local run: steps, their result, who is told, and where they run."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from kfp import local

from berth import progress


@dataclass(frozen=True)
class Step:
    """The outcome of one step: its state is `done`, `cached` or `failed`."""

    name: str
    state: str
    seconds: float
    summary: str
    outputs: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Result:
    """A run that ended without an error; `blessed`: its model passed its gates and was pushed."""

    run_id: str
    steps: list[Step]
    blessed: bool
    log_dir: Path


class Reporter(Protocol):
    """The receiver of a run's progress."""

    def started(self, step: str) -> None: ...
    def progressed(self, step: str, made: progress.Progress) -> None: ...
    def logged(self, step: str, line: str) -> None: ...
    def ended(self, step: Step) -> None: ...


@dataclass(frozen=True)
class StepRunner:
    """Where steps run."""

    kfp_runner: local.SubprocessRunner | local.DockerRunner
    code: str
    """A digest of what the steps run there: their code and packages."""
    execute: Callable[[str, list[str], dict[str, str], Path, Callable[[str], None]], int]
    """Runs, for an image, a command with variables, its output line by line to a log and to a function; returns the
    exit code, negative for a signal."""
