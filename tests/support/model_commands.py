"""The commands that show and move a registry's models, as tests call them."""

import os
import subprocess
from pathlib import Path

from pipeline.display import models as commands
from tests.support import forks


def berth(*arguments: str, cwd: Path, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
    return forks.berth(cwd, *arguments, stdin=stdin, MLFLOW_TRACKING_URI=os.environ["MLFLOW_TRACKING_URI"])


def rollback(name: str, to: int | None = None, reason: str = "") -> list[str]:
    return list(commands.rollback(name, to, reason))


def promote(name: str, version: int, reason: str = "better for us") -> list[str]:
    return list(commands.promote(name, version, reason))
