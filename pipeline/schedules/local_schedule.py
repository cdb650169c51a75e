"""A schedule on one machine, as it is stored."""

import datetime

import pydantic

from pipeline.schedules.cron import When, parse


class LocalSchedule(pydantic.BaseModel, frozen=True, extra="forbid"):
    """One schedule. `config` is relative to the folder where it is below it, so that a moved folder keeps working."""

    name: str
    cron: str
    start: pydantic.AwareDatetime | None = None
    end: pydantic.AwareDatetime | None = None
    config: str
    next_time: pydantic.AwareDatetime | None
    """When its next run is due; a time that is past has not been run yet. None: the schedule is paused."""

    def after(self, now: datetime.datetime) -> datetime.datetime | None:
        """Return its first time after `now`: times that were missed are skipped at once. None: its end is past."""
        return next(When(parse(self.cron), self.start, self.end).times(now), None)
