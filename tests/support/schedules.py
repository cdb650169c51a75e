"""Helpers for tests of schedules on one machine: rows that are changed by hand, and a `berth` that is a script."""

import datetime
from pathlib import Path

import pytest

from pipeline.schedules import cron, local, store

UTC = datetime.UTC


def plan(name: str = "sms-spam") -> None:
    """Keep a schedule that is not due for years unless a test says so, whose runs fail at once."""
    Path("config.yaml").write_text("name: sms-spam\n")
    local.put(name, cron.when("0 0 29 2 *"), Path("config.yaml"))


def miss(name: str, hours: float = 3) -> None:
    """Let the schedule's next time be one that is past."""
    with store.changed() as schedules:
        past = datetime.datetime.now(UTC) - datetime.timedelta(hours=hours)
        schedules[name] = schedules[name].model_copy(update={"next_time": past})


def next_time(name: str) -> datetime.datetime | None:
    return store.schedules()[name].next_time


def logs(folder: Path) -> list[Path]:
    return sorted((folder / ".berth" / "logs" / "scheduler").glob("*.log"))


def replace_berth(monkeypatch: pytest.MonkeyPatch, folder: Path, script: str) -> None:
    """Let a shell script stand for the `berth` that the scheduler runs."""
    program = folder / "bin" / "berth"
    program.parent.mkdir(exist_ok=True)
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    monkeypatch.setattr("sys.executable", str(program.with_name("python3")))
