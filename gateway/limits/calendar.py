"""Which day and month is it where quotas are counted, and when do they end?"""

from datetime import UTC, date, datetime, timedelta, tzinfo
from typing import NamedTuple
from zoneinfo import ZoneInfo

from gateway.core.months import month_of
from gateway.store.accounts import Windows


class Period(NamedTuple):
    """A day: its windows, when it and its month end, and when it begins, in seconds since 1970."""

    windows: Windows
    day_ends: float
    month_ends: float
    begins: float = 0.0


def zone_of(name: str) -> tzinfo:
    """The time zone of that name. Raises ValueError when there is none."""
    if name == "UTC":
        return UTC  # which needs no data of the system's
    try:
        return ZoneInfo(name)
    except (OSError, ValueError, KeyError):
        raise ValueError(f"{name!r} is no time zone that this system knows, as Europe/Berlin is") from None


class Calendar:
    """Days from midnight to midnight, of 23 and of 25 hours where clocks are changed, and calendar months.

    Days are numbered as `date.toordinal` does, months as `core.months` does.
    """

    def __init__(self, zone: tzinfo) -> None:
        self._zone = zone
        self._period = Period(Windows(0, 0), 0.0, 0.0)

    def at(self, wall: float) -> Period:
        """The day in which that second since 1970 lies."""
        if not self._period.begins <= wall < self._period.day_ends:
            self._look(wall)
        return self._period

    def windows_at(self, wall: float) -> Windows:
        """The day and the month in which that second since 1970 lies."""
        return self.at(wall).windows

    def begins(self, day: date) -> float:
        """The first second of a day, since 1970."""
        return self._midnight(day)

    def say(self, wall: float) -> str:
        """A moment as the clocks there show it, in the form that the admin API has for moments."""
        return datetime.fromtimestamp(wall, self._zone).isoformat(timespec="seconds").replace("+00:00", "Z")

    def _look(self, wall: float) -> None:
        today = datetime.fromtimestamp(wall, self._zone).date()
        next_month = (today.replace(day=1) + timedelta(days=31)).replace(day=1)
        ends = self._midnight(today + timedelta(days=1))
        windows = Windows(today.toordinal(), month_of(today))
        self._period = Period(windows, ends, self._midnight(next_month), self._midnight(today))

    def _midnight(self, day: date) -> float:
        return datetime(day.year, day.month, day.day, tzinfo=self._zone).timestamp()
