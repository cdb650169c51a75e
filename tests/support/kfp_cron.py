"""Cron expressions as a KFP backend reads them: the rules of github.com/robfig/cron 1.2, which it uses, in UTC.

kubeflow/pipelines, backend/src/crd/controller/scheduledworkflow/util/cron_schedule.go; the one time zone of a server is
CRON_SCHEDULE_TIMEZONE, UTC in backend/src/apiserver/config/config.json.

Written from that library's documentation and behaviour, apart from Berth's own reading: tests hold one to the other.
"""

import calendar
import datetime

_BOUNDS = ((0, 59), (0, 59), (0, 23), (1, 31), (1, 12), (0, 6))
_MONTHS = {name.lower(): number for number, name in enumerate(calendar.month_abbr) if name}
_DAYS = {name.lower(): (number + 1) % 7 for number, name in enumerate(calendar.day_abbr)}
_NAMES = ({}, {}, {}, {}, _MONTHS, _DAYS)


def parse(spec: str) -> list[tuple[set[int], bool]]:
    """Return the values of each of six fields, seconds first, and whether it has a star; ValueError as KFP's 400."""
    fields = spec.split()
    if len(fields) not in (5, 6):  # without the last field: any day of the week
        raise ValueError(f"expected 5 to 6 fields, found {len(fields)}: {spec}")
    fields += ["*"] * (6 - len(fields))
    return [_field(field, *bounds, names) for field, bounds, names in zip(fields, _BOUNDS, _NAMES, strict=True)]


def next_time(spec: str, after: datetime.datetime) -> datetime.datetime:
    """Return the first time after `after`, day by day and minute by minute."""
    (seconds, _), (minutes, _), (hours, _), (days, any_day), (months, _), (weekdays, any_weekday) = parse(spec)
    assert seconds == {0}
    day = after.replace(hour=0, minute=0, second=0, microsecond=0)
    for _ in range(366 * 8):
        fits, fits_week = day.day in days, day.isoweekday() % 7 in weekdays
        if day.month in months and (fits and fits_week if any_day or any_weekday else fits or fits_week):
            for hour in sorted(hours):
                for minute in sorted(minutes):
                    moment = day.replace(hour=hour, minute=minute)
                    if moment > after:
                        return moment
        day += datetime.timedelta(days=1)
    raise ValueError("no such time")


def _field(field: str, low: int, high: int, names: dict[str, int]) -> tuple[set[int], bool]:
    values: set[int] = set()
    star = False
    for part in filter(None, field.split(",")):
        span, slash, step = part.partition("/")
        ends = span.split("-")
        if len(ends) > 2:
            raise ValueError(f"too many hyphens: {part}")
        if ends[0] in ("*", "?"):
            first, last, star = low, high, True
        else:
            first = _number(ends[0], names)
            last = _number(ends[1], names) if len(ends) == 2 else high if slash else first
        width = _number(step, {}) if slash else 1
        if first < low or last > high or first > last or width == 0:
            raise ValueError(f"out of the range {low} to {high}: {part}")
        values |= set(range(first, last + 1, width))
    return values, star


def _number(text: str, names: dict[str, int]) -> int:
    if text.lower() in names:
        return names[text.lower()]
    if not text.isdecimal():
        raise ValueError(f"failed to parse int from {text}")
    return int(text)
