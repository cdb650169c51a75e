"""`berth scheduler`: runs the schedules of a folder in the foreground.

One scheduler, one run at a time: a schedule that is due while another's run goes on waits for it, and one whose own run
goes on skips that time. What was missed while no scheduler ran is made up for once, however often it was missed.
"""

import contextlib
import datetime
import signal
import time
from collections.abc import Callable, Iterator

from berth.errors import BerthError
from berth.storage.locks import LockTimeout, locked
from pipeline import home
from pipeline.schedules import job, store
from pipeline.schedules.cron import UTC
from pipeline.schedules.local_schedule import LocalSchedule

LOOK = 0.5
"""Seconds after which the scheduler sees what has become due, has ended, or has been changed by other commands."""
_GOODBYE = 60
"""Seconds that a run has to close its MLflow run when the scheduler is stopped."""


def serve() -> None:
    """Run the schedules of this folder until SIGINT or SIGTERM.

    Raises:
        BerthError: another scheduler does so already, or .berth/ cannot be written.
        KeyboardInterrupt: the scheduler was stopped.
    """
    with _only_scheduler(), _stop_signals() as stopped:
        store.schedules()
        say(f"schedules of {home.relative(store.path())}; stop with Ctrl-C")
        scheduler = Scheduler()
        try:
            while not stopped():
                scheduler.look()
                time.sleep(LOOK)
        finally:
            scheduler.stop()
    raise KeyboardInterrupt


class Scheduler:
    """Starts what is due and reports how it ended, each time that it looks."""

    def __init__(self, clock: Callable[[], datetime.datetime] = lambda: datetime.datetime.now(UTC)) -> None:
        self._clock = clock
        self._job: job.Job | None = None

    def look(self) -> None:
        """Report a run that has ended; start the schedule that has been due for longest, if no run goes on."""
        self._report()
        now = self._clock()
        due = [row for row in store.schedules().values() if row.next_time and row.next_time <= now]
        if self._job:
            if any(row.name == self._job.name for row in due):
                _skip_to_next(self._job.name, now)
        elif due:
            self._start(due[0], now)

    def stop(self) -> None:
        """End a run that goes on the way that Ctrl-C does, and report it."""
        if self._job:
            self._job.stop(_GOODBYE)
            self._report()

    def _start(self, schedule: LocalSchedule, now: datetime.datetime) -> None:
        try:
            self._job = job.start(schedule.name, schedule.config)
        except OSError as error:
            say(f"{schedule.name}: cannot be started ({error.strerror}); skipped until its next time")
        else:
            if self._job is None:
                return  # a run that has survived its scheduler goes on: this one stays due
            say(f"{schedule.name}: started, log {home.relative(self._job.log)}")
        _skip_to_next(schedule.name, now)

    def _report(self) -> None:
        if self._job and (outcome := self._job.outcome()):
            say(outcome)
            self._job = None


def say(line: str) -> None:
    """Print a line with the time."""
    print(f"{datetime.datetime.now():%Y-%m-%d %H:%M:%S} {line}", flush=True)


def _skip_to_next(name: str, now: datetime.datetime) -> None:
    """Let the schedule be due at its first time after `now`; without one it is removed."""
    with store.changed() as schedules:
        schedule = schedules.get(name)
        if schedule is None or schedule.next_time is None or schedule.next_time > now:
            return  # another command has deleted, paused or replaced it meanwhile
        if following := schedule.after(now):
            schedules[name] = schedule.model_copy(update={"next_time": following})
        else:
            del schedules[name]


@contextlib.contextmanager
def _only_scheduler() -> Iterator[None]:
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(locked(home.writable_home() / "scheduler.lock", timeout=0))
        except LockTimeout:
            raise BerthError(
                "a scheduler is running in this folder already. Stop that one first, or leave it running."
            ) from None
        yield


@contextlib.contextmanager
def _stop_signals() -> Iterator[Callable[[], bool]]:
    """Give a function that tells whether SIGINT or SIGTERM has come; neither interrupts what is being done."""
    received: list[int] = []
    signals = (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.signal(number, lambda number, _: received.append(number)) for number in signals}
    try:
        yield lambda: bool(received)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
