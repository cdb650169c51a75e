"""Cron expressions: the usual five fields, in UTC, and their meaning to every scheduler.

Schedulers disagree on the same five fields: Sunday is 0, 7 or 6; a day of the month together with a day of the week
means either of them, or both; KFP's has a sixth field and knows no 7. Here croniter reads an expression once, and the
others are given what it read, as plain lists of numbers on which all of them agree.
"""

import datetime
import re
from collections.abc import Iterator
from dataclasses import dataclass

from croniter import croniter
from croniter.croniter import CroniterError

from berth.errors import BerthError

UTC = datetime.UTC
_FIELDS = ("minute", "hour", "day of the month", "month", "day of the week")
_RANGES = ("0-59", "0-23", "1-31", "1-12 or JAN-DEC", "0-7 or SUN-SAT, 0 and 7 are Sunday")
_ITEM = re.compile(r"(\*|\w+(-\w+)?)(/\d+)?", re.ASCII)
_NAMES = re.compile(r"jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec|sun|mon|tue|wed|thu|fri|sat", re.IGNORECASE)
_DAYS = {2: range(1, 32), 4: range(7)}
_YEARS = 8
"""How far a next time is looked for: a 29th of February can be 8 years away."""


@dataclass(frozen=True)
class Cron:
    """Five fields, as written and as lists of numbers; read by `parse`."""

    text: str
    fields: tuple[str, ...]

    @property
    def six_fields(self) -> str:
        """The expression as KFP wants it: seconds first, and nothing that its parser reads in another way."""
        return f"0 {' '.join(self.fields)}"

    def after(self, moment: datetime.datetime) -> datetime.datetime | None:
        """Return the first time after `moment`, in UTC; None if there is none within 8 years."""
        try:
            start = moment.astimezone(UTC)
            return croniter(" ".join(self.fields), start, max_years_between_matches=_YEARS).get_next(datetime.datetime)
        except CroniterError:
            return None


@dataclass(frozen=True)
class When:
    """The times of a schedule; made by `when`."""

    cron: Cron
    start: datetime.datetime | None = None
    end: datetime.datetime | None = None

    def times(self, now: datetime.datetime) -> Iterator[datetime.datetime]:
        """Yield the times after `now`, from `start` where that is later, up to `end`; all in UTC."""
        # A time that is `start` itself counts for KFP only from the next one on: it looks for times after its start.
        moment = max(now, self.start) if self.start else now
        while (following := self.cron.after(moment)) is not None and (self.end is None or following <= self.end):
            yield following
            moment = following


def when(cron: str, start: str = "", end: str = "") -> When:
    """Return the times that the texts of a command line mean; a date or time without a zone is in UTC.

    Raises:
        BerthError: one of them cannot be read, or no time is left between them.
    """
    now = datetime.datetime.now(UTC)
    made = When(parse(cron), _moment("--start", start), _moment("--end", end))
    if made.end and made.end <= now:
        raise BerthError(f"--end {end}: is past. Give a time after {now:%Y-%m-%dT%H:%M}Z, or none.")
    if made.start and made.end and made.start >= made.end:
        raise BerthError(f"--end {end}: is not after --start {start}. Give a later one.")
    if next(made.times(now), None) is None:
        raise BerthError(f"--cron {cron!r}: has no time before --end {end}. Give a later end.")
    return made


def _moment(option: str, text: str) -> datetime.datetime | None:
    if not text:
        return None
    try:
        moment = datetime.datetime.fromisoformat(text)
    except ValueError:
        raise BerthError(f"{option} {text!r}: not a time. Write 2030-01-31, or 2030-01-31T03:00+01:00.") from None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)


def parse(text: str) -> Cron:
    """Return the cron expression `text`.

    Raises:
        BerthError: it does not have five fields, one of them is unknown or out of its range, or there is no such date.
    """
    fields = text.split()
    if len(fields) == 6:
        raise BerthError(
            f"--cron {text!r}: six fields. Give the usual five, {', '.join(_FIELDS)}; the seconds for KFP are added."
        )
    if len(fields) != 5:
        raise BerthError(f"--cron {text!r}: not five fields. Give {', '.join(_FIELDS)}: '0 3 * * 1'.")
    read = [_read(text, position, field) for position, field in enumerate(fields)]
    _, _, day, _, weekday = fields
    if "*" not in (day, weekday) and any(field.startswith("*") for field in (day, weekday)):
        # */2 is a star to some schedulers, and then both days have to fit; to the others one of them is enough.
        raise BerthError(
            f"--cron {text!r}: */n together with another day is read in two ways. Write the days out: 1,3,5."
        )
    cron = Cron(" ".join(fields), tuple(read))
    if cron.after(datetime.datetime.now(UTC)) is None:
        raise BerthError(f"--cron {text!r}: there is no such date. Check the day of the month and the month.")
    return cron


def five_fields(six: str) -> str:
    """Return a KFP expression as five fields, where its seconds are 0; else as it is."""
    return six.removeprefix("0 ") if len(six.split()) == 6 else six


def _read(text: str, position: int, field: str) -> str:
    """Return one field as `*` or as numbers with commas between."""
    for item in field.split(","):
        known = _ITEM.fullmatch(item) and not re.sub(r"[\d*/-]", "", _NAMES.sub("", item))
        if not known:
            raise BerthError(_unknown(text, position, field))
    alone = ["*"] * 5
    alone[position] = field
    try:
        values = croniter.expand(" ".join(alone))[0][position]
    except (CroniterError, ValueError):
        raise BerthError(_unknown(text, position, field)) from None
    if values == ["*"] and field != "*" and position in _DAYS:
        values = list(_DAYS[position])  # 0-6 is not a star: next to a day of the month it means every day
    return ",".join(str(value) for value in values)


def _unknown(text: str, position: int, field: str) -> str:
    return (
        f"--cron {text!r}: {field!r} is not a valid {_FIELDS[position]}. It is {_RANGES[position]}, *, a,b, a-b or */n."
    )
