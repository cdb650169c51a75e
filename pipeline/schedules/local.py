"""Commands on the schedules of one machine; `berth scheduler` (daemon.py) runs them."""

import contextlib
import datetime
from collections.abc import Iterator
from pathlib import Path

from rich.table import Table

from berth.errors import BerthError, nearest
from pipeline.display import tables
from pipeline.schedules import store
from pipeline.schedules.cron import UTC, When
from pipeline.schedules.local_schedule import LocalSchedule


def put(name: str, when: When, config: Path) -> bool:
    """Keep a schedule that runs `config` in this folder; return whether it replaced one of the same name."""
    made = LocalSchedule(
        name=name,
        cron=when.cron.text,
        start=when.start,
        end=when.end,
        config=_relative(config.resolve()),
        next_time=next(when.times(_now()), None),
    )
    with store.changed() as schedules:
        replaced = name in schedules
        schedules[name] = made
    return replaced


def listing() -> Table:
    """Return the schedules of this folder as a table, with the next time of each that is not paused."""
    times = map(tables.whole, ("cron (UTC)", "state", "next (UTC)"))
    table = tables.new(tables.words("schedule"), *times, tables.words("configuration"))
    for schedule in store.schedules().values():
        state = "active" if schedule.next_time else "paused"
        following = f"{schedule.next_time.astimezone(UTC):%Y-%m-%d %H:%M}" if schedule.next_time else "-"
        tables.add(table, schedule.name, schedule.cron, state, following, _relative(Path(schedule.config)))
    return table


def pause(name: str) -> None:
    """Stop the schedule from starting runs until it is resumed."""
    with _named(name) as schedules:
        schedules[name] = schedules[name].model_copy(update={"next_time": None})


def resume(name: str) -> None:
    """Let the schedule start runs again, from its next time on."""
    with _named(name) as schedules:
        following = schedules[name].after(_now())
        if following:
            schedules[name] = schedules[name].model_copy(update={"next_time": following})
        else:
            del schedules[name]
    if not following:
        raise BerthError(f"{name}: its end is past; it has been removed. Give it a later one: berth schedule.")


def delete(name: str) -> None:
    """Remove the schedule; its runs stay."""
    with _named(name) as schedules:
        del schedules[name]


@contextlib.contextmanager
def _named(name: str) -> Iterator[dict[str, LocalSchedule]]:
    """Give the schedules, of which one has this name, to change."""
    with store.changed() as schedules:
        if name not in schedules:
            hint = nearest(name, list(schedules))
            raise BerthError(f"no schedule {name!r} in this folder.{hint} 'berth schedules list --local' has them.")
        yield schedules


def _relative(path: Path) -> str:
    folder = Path.cwd().resolve()
    return str(path.relative_to(folder) if path.is_relative_to(folder) else path)


def _now() -> datetime.datetime:
    return datetime.datetime.now(UTC)
