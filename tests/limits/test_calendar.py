"""Days and months are those of the place whose midnights count, and windows only ever go on."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.limits.calendar import Calendar, zone_of

BERLIN = ZoneInfo("Europe/Berlin")
HOUR = 3600.0
ZONES = (
    "UTC",
    "Europe/Berlin",
    "America/New_York",
    "Asia/Kathmandu",
    "Pacific/Apia",
    "America/Sao_Paulo",
    "Asia/Beirut",
)


def moment(*parts: int, zone: ZoneInfo = BERLIN) -> float:
    return datetime(*parts, tzinfo=zone).timestamp()  # type: ignore[arg-type,misc]  # year to minute


@pytest.mark.parametrize(("day", "hours"), [((2026, 3, 29), 23.0), ((2026, 10, 25), 25.0), ((2026, 11, 21), 24.0)])
def test_a_day_is_as_long_as_the_clocks_make_it(day: tuple[int, int, int], hours: float) -> None:
    calendar = Calendar(BERLIN)
    period = calendar.at(moment(*day, 0, 0))
    assert period.day_ends - moment(*day, 0, 0) == hours * HOUR
    assert calendar.at(period.day_ends - 0.001) == period
    assert calendar.at(period.day_ends).windows.day == period.windows.day + 1


def test_a_month_ends_with_its_last_day() -> None:
    calendar = Calendar(BERLIN)
    december = calendar.at(moment(2026, 12, 31, 23, 59))
    january = calendar.at(moment(2027, 1, 1, 0, 0))
    assert december.month_ends == december.day_ends == moment(2027, 1, 1, 0, 0)
    assert january.windows == (december.windows.day + 1, december.windows.month + 1)
    assert january.month_ends == moment(2027, 2, 1, 0, 0)


def test_a_clock_that_steps_back_is_answered_for_the_time_that_it_shows() -> None:
    calendar = Calendar(BERLIN)
    later = calendar.at(moment(2026, 11, 22, 0, 1))
    earlier = calendar.at(moment(2026, 11, 21, 23, 59))
    assert earlier.windows.day == later.windows.day - 1


def test_a_moment_is_told_as_people_there_read_it() -> None:
    assert Calendar(BERLIN).say(moment(2026, 11, 22, 0, 0)) == "2026-11-22T00:00:00+01:00"
    assert Calendar(UTC).say(0) == "1970-01-01T00:00:00Z"


def test_a_zone_that_nobody_knows_is_refused() -> None:
    for name in ("Europe/Atlantis", "", "../../etc/passwd", "x" * 5000):
        with pytest.raises(ValueError, match="is no time zone"):
            zone_of(name)


@given(st.sampled_from(ZONES), st.lists(st.floats(0, 4e9), min_size=1, max_size=20))
def test_whoever_asks_in_whatever_order_gets_the_day_of_that_place(name: str, walls: list[float]) -> None:
    zone = zone_of(name)
    calendar = Calendar(zone)
    for wall in walls:
        period = calendar.at(wall)
        assert wall < period.day_ends <= period.month_ends
        local = datetime.fromtimestamp(wall, zone)
        assert period.windows == (local.toordinal(), local.year * 12 + local.month)
