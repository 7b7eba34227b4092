"""What time of day is it for all hosts? The server's, learned with each beat; in between the host's monotonic clock."""

import logging
from collections.abc import Callable

from gateway.core.clock import Clock
from gateway.store.accounts import Windows

SCRIPTS_BEGIN = 1_767_225_600.0
"""Seconds since 1970 at the beginning of 2026, from when scripts count (`clock.lua`)."""

APART_SECS = 60.0
"""A host whose time of day is so far from the server's is to be looked after; its quotas go by the server's."""

log = logging.getLogger(__name__)


class ServerClock:
    """The server's time of day, as far as it is known; before that, the host's own.

    Args:
        clock: the host's.
        windows_at: which day and month a second since 1970 lies in, where quotas are counted.

    Attributes:
        monotonic: the host's, by which questions are dated.
    """

    def __init__(self, clock: Clock, windows_at: Callable[[float], Windows]) -> None:
        self._clock = clock
        self.monotonic = clock.monotonic
        self._windows_at = windows_at
        self._ahead: float | None = None
        """Seconds from the monotonic clock to the server's time of day."""
        self._apart = False
        self._was_wrong = False

    def wall(self) -> float:
        """Seconds since 1970; may jump, as the server's clock does."""
        if self._ahead is None:
            return self._clock.wall()
        return self.monotonic() + self._ahead

    def learn(self, said: float, asked: float) -> None:
        """The server's scripts had that time between `asked`, on the monotonic clock, and now.

        What was known is kept as far as that allows, so that an answer that was long on its way moves nothing.
        """
        now = self.monotonic()
        earliest, latest = SCRIPTS_BEGIN + said - now, SCRIPTS_BEGIN + said - asked
        if self._ahead is None:
            self._ahead = earliest
            self._was_wrong = self._windows_at(self._clock.wall()) != self.windows()
        else:
            self._ahead = min(max(self._ahead, earliest), latest)
        self._tell(self._clock.wall() - now - self._ahead)

    def windows(self) -> Windows:
        """The day and month of now."""
        return self._windows_at(self.wall())

    def believed(self) -> Callable[[Windows], Windows]:
        """What becomes of the windows in which this host has counted without the server, when it counts them there.

        A day to come was none, and neither was one that a clock said which does not even now say the server's: what was
        used then counts now. Days of the server's clock, and of one that goes with it, are as they were.
        """
        now, none_was_right = self.windows(), self._was_wrong
        self._was_wrong = False

        def counted_in(windows: Windows) -> Windows:
            return now if none_was_right or windows.day > now.day else windows

        return counted_in

    def _tell(self, apart: float) -> None:
        """Say once that this host's time of day is wrong, or the server's, and once that it is not any more."""
        if (abs(apart) >= APART_SECS) == self._apart:
            return
        self._apart = not self._apart
        if self._apart:
            log.warning("clocks_apart", extra={"ahead_secs": round(apart, 1)})
        else:
            log.info("clocks_agree")
