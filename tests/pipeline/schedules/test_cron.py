"""Cron expressions: what is accepted, and that every scheduler reads the same times out of them."""

import datetime
import itertools
import random

import pytest

from berth.errors import BerthError
from pipeline.schedules import cron
from pipeline.schedules.local_schedule import LocalSchedule
from tests.support import kfp_cron

UTC = datetime.UTC
NOW = datetime.datetime(2026, 11, 25, 3, 26, 31, 500000, tzinfo=UTC)
USUAL = [
    *("0 3 * * 1", "0 3 * * 0", "0 3 * * 7", "0 3 * * SUN", "0 3 * * 5-7", "0 3 * * fri-mon", "30 4 * * MON-FRI"),
    *("0 3 1 * MON", "0 3 1,15 * 5", "0 3 1-7 * wed,thu", "0 3 1 * 0-6", "0 3 1-31 * 1", "0 3 13 * *"),
    *("*/15 * * * *", "5/10 * * * *", "1-5/2 * * * *", "0 */6 * * *", "0 22-2 * * *", "* * * * *", "59 23 31 12 *"),
    *("0 3 * JAN-MAR *", "0 3 31 * *", "0 0 29 2 *", "0 3 * * */2", "0 3 */10 * *", "0 3 * 2,8 0", "17 5 * 6 MON,7"),
]


def random_expressions(number: int) -> list[str]:
    dice = random.Random(0)

    def field(low: int, high: int) -> str:
        first = dice.randint(low, high)
        last = dice.randint(first, high)
        return dice.choice(["*", "*", str(first), f"{first}-{last}", f"{first},{last}", f"{first}-{last}/2"])

    bounds = ((0, 59), (0, 23), (1, 28), (1, 12), (0, 7))
    return [" ".join(field(*bound) for bound in bounds) for _ in range(number)]


@pytest.mark.parametrize("expression", USUAL + random_expressions(60))
def test_kubeflow_and_the_local_scheduler_have_the_same_times(expression):
    when = cron.when(expression)
    said = list(itertools.islice(when.times(NOW), 4))
    cluster, local = [], []
    moment = before = NOW
    schedule = LocalSchedule(name="a", cron=when.cron.text, config="config.yaml", next_time=None)
    for _ in range(4):
        moment = kfp_cron.next_time(when.cron.six_fields, moment)
        cluster.append(moment)
        before = schedule.after(before)
        local.append(before)
    assert cluster == said
    assert local == said


@pytest.mark.parametrize(
    ("expression", "days"),
    [
        ("0 3 * * 0", {"Sun"}),
        ("0 3 * * 1", {"Mon"}),
        ("0 3 * * 7", {"Sun"}),
        ("0 3 * * 6,7", {"Sat", "Sun"}),
        ("0 3 * * MON-WED", {"Mon", "Tue", "Wed"}),
    ],
)
def test_days_of_the_week_are_counted_as_crontab_counts_them(expression, days):
    times = itertools.islice(cron.when(expression).times(NOW), 14)
    assert {f"{moment:%a}" for moment in times} == days


def test_a_day_of_the_month_or_of_the_week_is_enough():
    times = itertools.islice(cron.when("0 3 1 * MON").times(NOW), 3)
    assert [f"{moment:%a %d %b}" for moment in times] == ["Mon 30 Nov", "Tue 01 Dec", "Mon 07 Dec"]


@pytest.mark.parametrize(
    ("expression", "words"),
    [
        ("0 0 3 * * 1", "six fields"),
        ("@daily", "not five fields"),
        ("0 3 * *", "not five fields"),
        ("", "not five fields"),
        ("60 * * * *", "'60' is not a valid minute"),
        ("0 24 * * *", "'24' is not a valid hour"),
        ("0 3 0 * *", "'0' is not a valid day of the month"),
        ("0 3 * 13 *", "'13' is not a valid month"),
        ("0 3 * * 8", "'8' is not a valid day of the week"),
        ("0 3 * * MONDAY", "'MONDAY' is not a valid day of the week"),
        ("0 3 * * 1#2", "'1#2' is not a valid day of the week"),
        ("0 3 L * *", "'L' is not a valid day of the month"),
        ("0 3 ? * 1", "'?' is not a valid day of the month"),
        ("R 3 * * *", "'R' is not a valid minute"),
        ("H 3 * * *", "'H' is not a valid minute"),
        ("*/0 * * * *", "'*/0' is not a valid minute"),
        ("1,,2 * * * *", "'1,,2' is not a valid minute"),
        ("0 3 30 2 *", "no such date"),
        ("0 3 */2 * 1", "read in two ways"),
    ],
)
def test_a_wrong_expression_is_refused_with_its_wrong_field(expression, words):
    with pytest.raises(BerthError, match=r"^--cron ") as refusal:
        cron.when(expression)
    assert words in str(refusal.value)


@pytest.mark.parametrize(
    ("start", "end", "words"),
    [
        ("", "2020-01-01", "is past"),
        ("2999-01-02", "2999-01-01", "is not after --start"),
        ("2999-01-01T00:00", "2999-01-01T01:00", "has no time before"),
        ("soon", "", "--start 'soon': not a time"),
        ("", "2999-13-01", "not a time"),
    ],
)
def test_start_and_end_without_a_time_between_are_refused(start, end, words):
    with pytest.raises(BerthError) as refusal:
        cron.when("0 3 * * 1", start, end)
    assert words in str(refusal.value)


def test_times_keep_within_start_and_end_of_any_zone():
    when = cron.when("0 3 * * *", "2999-01-01T04:00+01:00", "2999-01-04T03:00")
    assert [f"{moment:%d %H:%M %Z}" for moment in when.times(NOW)] == ["02 03:00 UTC", "03 03:00 UTC", "04 03:00 UTC"]
