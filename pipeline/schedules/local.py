"""Schedules on one machine: APScheduler keeps them in .berth/schedules.db, and `berth scheduler` runs them.

One scheduler, one run at a time: a schedule that is due while another's run goes on waits for it, and one whose own run
goes on passes that time over. What was missed while no scheduler ran is made up for once, however often it was missed.
"""

import contextlib
import datetime
import fcntl
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from apscheduler.executors.pool import ThreadPoolExecutor
from apscheduler.job import Job
from apscheduler.jobstores.base import JobLookupError
from apscheduler.jobstores.sqlalchemy import SQLAlchemyJobStore
from apscheduler.schedulers.base import BaseScheduler
from apscheduler.schedulers.blocking import BlockingScheduler
from apscheduler.triggers.base import BaseTrigger
from rich.markup import escape
from rich.table import Table

from berth.errors import BerthError, nearest, printable
from pipeline import home, mlflow_store
from pipeline.schedules.cron import UTC, When

LOOK = 5.0
"""Seconds after which the scheduler sees what `berth schedule --local` and `berth schedules` have changed."""
_GOODBYE = 60
"""Seconds that a run has to close its MLflow run when the scheduler is stopped."""
_stopping = threading.Event()
_running: set["subprocess.Popen[bytes]"] = set()


class CronTrigger(BaseTrigger):
    """The times of a `When`, for APScheduler: its own cron trigger counts Monday as 0 and wants both days to fit."""

    def __init__(self, when: When) -> None:
        self.when = when

    def get_next_fire_time(
        self, previous_fire_time: datetime.datetime | None, now: datetime.datetime
    ) -> datetime.datetime | None:
        """Return the next time after now: times that were missed are passed over at once, not one by one."""
        return next(self.when.times(max(previous_fire_time or now, now)), None)


def put(name: str, when: When, config: Path) -> bool:
    """Keep a schedule that runs `config` in this folder; return whether it replaced one of the same name."""
    with _store() as scheduler:
        replaced = scheduler.get_job(name) is not None
        scheduler.add_job(
            retrain,
            CronTrigger(when),
            id=name,
            args=[name, str(config.resolve()), str(Path.cwd())],
            replace_existing=True,
            coalesce=True,
            max_instances=1,
            misfire_grace_time=None,  # late is better than not at all
        )
    return replaced


def listing() -> Table:
    """Return the schedules of this folder as a table, with the next time of each that is not paused."""
    table = Table(box=None, padding=(0, 1), pad_edge=False, header_style="dim")
    for column in ("schedule", "cron (UTC)", "state", "next (UTC)", "configuration"):
        table.add_column(column, no_wrap=column not in ("schedule", "configuration"), overflow="fold")
    with _store() as scheduler:
        for job in scheduler.get_jobs():
            times = job.next_run_time
            state = "active" if times else "paused"
            following = f"{times.astimezone(UTC):%Y-%m-%d %H:%M}" if times else "-"
            cells = (job.id, job.trigger.when.cron.text, state, following, home.relative(Path(job.args[1])))
            table.add_row(*(escape(printable(cell)) for cell in cells))
    return table


def pause(name: str) -> None:
    """Stop the schedule from starting runs until it is resumed."""
    with _job(name) as job:
        job.pause()


def resume(name: str) -> None:
    """Let the schedule start runs again, from its next time on."""
    with _job(name) as job:
        if job.resume() is None:
            raise BerthError(f"{name}: its end is past; it has been removed. Give it a later one: berth schedule.")


def delete(name: str) -> None:
    """Remove the schedule; its runs stay."""
    with _job(name) as job:
        job.remove()


def serve() -> None:
    """Run the schedules of this folder in the foreground, until SIGINT or SIGTERM.

    Raises:
        BerthError: another scheduler does so already, or .berth/ cannot be written.
    """
    with _lock("scheduler.lock", wait=False):
        with _store():
            pass  # makes the store's table here, while no other process can be making it
        scheduler = _Scheduler(
            jobstores={"default": _jobstore()}, executors={"default": ThreadPoolExecutor(1)}, timezone=UTC
        )
        before = signal.signal(signal.SIGTERM, _interrupt)
        try:
            _say(f"schedules of {home.relative(_path('schedules.db'))}; stop with Ctrl-C")
            scheduler.start()
        finally:
            signal.signal(signal.SIGTERM, before)
            _stop(scheduler)


def retrain(name: str, config: str, folder: str) -> None:
    """Run `berth run CONFIG` in `folder` and say how it ended; its output goes to a log.

    The run holds a lock that it inherits: a run that has survived its scheduler's death is waited for.
    """
    logs = Path(folder) / ".berth" / "logs" / "scheduler"
    logs.mkdir(parents=True, exist_ok=True)
    log = logs / f"{name}-{datetime.datetime.now():%Y%m%d-%H%M%S}.log"
    command = [str(Path(sys.executable).with_name("berth")), "run", "--scheduled", config]
    with (Path(folder) / ".berth" / "running.lock").open("w") as lock:
        while not _locked(lock):
            if _stopping.wait(1):
                return
        if _stopping.is_set():
            return
        _say(f"{name}: started, log {home.relative(log)}")
        started = time.monotonic()
        with log.open("wb") as stream:
            process = subprocess.Popen(
                command,
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=subprocess.STDOUT,
                pass_fds=[lock.fileno()],
                process_group=0,  # a Ctrl-C for the scheduler is passed on once, by the scheduler
            )
        _running.add(process)
        code = process.wait()
        _running.discard(process)
    seconds = time.monotonic() - started
    _say(f"{name}: {'done' if code == 0 else f'exit code {code}'} after {seconds:.0f} s{_why(log) if code else ''}")


class _Scheduler(BlockingScheduler):
    """APScheduler's, beside which other processes may change the store: they take turns, and it looks often."""

    def _process_jobs(self) -> float:
        with _lock("schedules.lock"):
            seconds = super()._process_jobs()
        return LOOK if seconds is None else min(seconds, LOOK)


class _Editor(BaseScheduler):
    """Looks at the store and changes it. It has no thread, so it cannot take a job that is due from the scheduler."""

    def wakeup(self) -> None:
        pass

    def shutdown(self, wait: bool = True) -> None:
        super().shutdown(wait)


@contextlib.contextmanager
def _store() -> Iterator[_Editor]:
    """Open the store to look at it or to change it; nothing runs from here."""
    with _lock("schedules.lock"):
        scheduler = _Editor(jobstores={"default": _jobstore()}, timezone=UTC)
        scheduler.start(paused=True)
        try:
            yield scheduler
        finally:
            scheduler.shutdown()


@contextlib.contextmanager
def _job(name: str) -> Iterator[Job]:
    with _store() as scheduler:
        job = scheduler.get_job(name)
        if job is None:
            known = [other.id for other in scheduler.get_jobs()]
            hint = nearest(name, known)
            raise BerthError(f"no schedule {name!r} in this folder.{hint} 'berth schedules list --local' has them.")
        with contextlib.suppress(JobLookupError):
            yield job


def _jobstore() -> SQLAlchemyJobStore:
    """Return the store of this folder, which has to be one's own: APScheduler keeps its jobs as pickles."""
    path = _path("schedules.db")
    if path.exists() and path.stat().st_uid != os.getuid():
        raise BerthError(f"{path}: belongs to another user. Run berth in a folder of your own.")
    return SQLAlchemyJobStore(url=f"sqlite:///{path}")


def _path(name: str) -> Path:
    return home.writable_home() / name


@contextlib.contextmanager
def _lock(name: str, wait: bool = True) -> Iterator[None]:
    """Hold the lock of this name in .berth/; the system lets go of it when the process ends, however it ends."""
    with _path(name).open("w") as stream:
        if wait:
            fcntl.flock(stream, fcntl.LOCK_EX)
        elif not _locked(stream):
            raise BerthError("a scheduler is running in this folder already. Stop that one first, or leave it be.")
        yield


def _locked(stream: Any) -> bool:
    try:
        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def _stop(scheduler: BlockingScheduler) -> None:
    """Stop taking jobs, and end a run that goes on the way that Ctrl-C does."""
    _stopping.set()
    for process in list(_running):
        process.terminate()
    deadline = time.monotonic() + _GOODBYE
    for process in list(_running):
        try:
            process.wait(max(0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            process.kill()
    if scheduler.running:
        scheduler.shutdown()


def _why(log: Path) -> str:
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    last = next((line for line in reversed(lines) if line.strip()), "no output")
    return f": {printable(mlflow_store.redacted(last))}"


def _say(line: str) -> None:
    print(f"{datetime.datetime.now():%Y-%m-%d %H:%M:%S} {line}", flush=True)
