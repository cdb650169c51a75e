"""Times in every form that people write them in."""

import pytest

from berth.data.dataset import SPLITS
from tests.components.ingest.conftest import ROWS
from tests.support.bad_sources import fails

BY_TIME = {"by": "time", "column": "when"}


def timed(path, stamp, *more):
    """Write ROWS, each with the time that `stamp` makes of its day, 1 to 20, in January 2024; then the rows `more`."""
    rows = [f"{text},{label},{stamp(number % 20 + 1)}" for number, (text, label) in enumerate(ROWS)]
    path.write_text("\n".join(["text,label,when", *rows, *more]) + "\n")
    return path


def newest(splits) -> set[int]:
    """Return the days of the test split's rows, having checked that those of train are older."""
    days = [{int(text.split()[2]) % 20 + 1 for text, _ in splits[split]} for split in SPLITS]
    assert max(days[0]) < min(days[1]) <= max(days[1]) < min(days[2])
    return days[2]


DAY = 86_400
START = 1_704_067_200 - DAY  # the last day of 2023


@pytest.mark.parametrize(
    "stamp",
    [
        lambda day: START + day * DAY,
        lambda day: (START + day * DAY) * 10 ** (3 * (day % 4)),  # seconds to nanoseconds, mixed
        lambda day: f"{START + day * DAY}.25",
        lambda day: f"202401{day:02}",
        lambda day: f"2024/1/{day}",
        lambda day: f"2024-01-{day:02}T00:30:00+0{day % 2 * 9}:00",
        lambda day: f" 2024-01-{day:02} 10:00:00.123456789Z ",
    ],
    ids=["seconds", "mixed units", "fractions", "compact", "slashes", "offsets", "nanoseconds"],
)
def test_times_are_read_for_certain(ingest, tmp_path, stamp):
    manifest, splits, _ = ingest(timed(tmp_path / "a.csv", stamp), split=BY_TIME)
    assert newest(splits) == {19, 20}
    assert manifest.notes == []


def test_an_offset_moves_a_time(ingest, tmp_path):
    """10:00 in Tokyo is before 02:00 in London."""
    zones = ("02", "00"), ("10", "09")

    def stamp(day: int) -> str:
        hour, offset = zones[day > 2]
        return f"2024-01-01T{hour}:{day:02}:00+{offset}:00"

    _, splits, _ = ingest(timed(tmp_path / "a.csv", stamp), split=BY_TIME)
    assert {int(text.split()[2]) % 20 + 1 for text, _ in splits["test"]} == {1, 2}


@pytest.mark.parametrize(
    "time",
    [
        "nan",
        "inf",
        "infinity",
        "31.12.2024",
        "12/31/2024",
        "01/02/2024",
        "2024-02-30",
        "2024-01-31 01:00 PM",
        "1e400",
        "",
    ],
)
def test_an_uncertain_time_rejects_its_row_and_is_noted(ingest, tmp_path, time):
    path = timed(tmp_path / "a.csv", lambda day: f"2024-01-{day:02}", f"odd,ham,{time}")
    manifest, _, rejected = ingest(path, split=BY_TIME)
    assert [(row["row"], row["reason"]) for row in rejected] == [(201, "unreadable time")]
    assert manifest.notes[0].startswith("split.column: 1 rows have a time in 'when' that cannot be read for certain")


@pytest.mark.parametrize(
    ("stamp", "time_format"),
    [
        ("{:02}.01.2024", "%d.%m.%Y"),
        ("01/{:02}/2024 01:00 PM", "%m/%d/%Y %I:%M %p"),
        ("{:02}/01/24 +0100", "%d/%m/%y %z"),
    ],
)
def test_the_format_of_times_may_be_set(ingest, tmp_path, stamp, time_format):
    path = timed(tmp_path / "a.csv", stamp.format, "odd,ham,2024-01-01")
    manifest, splits, _ = ingest(path, split=BY_TIME | {"time_format": time_format})
    assert newest(splits) == {19, 20}
    assert manifest.rejected == {"unreadable time": 1}


def test_a_file_of_uncertain_times_names_the_setting(here):
    timed(here / "a.csv", "{:02}/01/2024".format)
    fails(r"none of its 200 rows is usable: 200 unreadable time\. Set split\.time_format", "a.csv", split=BY_TIME)


def test_years_among_dates_are_noted(ingest, tmp_path):
    path = timed(tmp_path / "a.csv", lambda day: 2024 if day < 3 else f"2024-01-{day:02}")
    manifest, *_ = ingest(path, split=BY_TIME)
    assert manifest.notes[0].startswith("split.column: 20 times in 'when' are in 1970 to 1973, and 180 are not.")
    manifest, *_ = ingest(timed(tmp_path / "b.csv", str), split=BY_TIME, name="steps")
    assert manifest.notes == [], "numbers of steps are in order, whatever they are"


@pytest.mark.parametrize(
    ("split", "message"),
    [
        ({"by": "text", "time_format": "%Y"}, "time_format: for by: time"),
        (BY_TIME | {"time_format": "yyyy-mm-dd"}, "time_format: for by: time, with fields such as"),
        (BY_TIME | {"time_format": "%Q"}, "time_format: 'Q' is a bad directive"),
    ],
)
def test_a_wrong_format_of_times_is_a_wrong_setting(split, message):
    from pydantic import ValidationError

    from berth.settings import Split

    with pytest.raises(ValidationError, match=message):
        Split.model_validate(split)
