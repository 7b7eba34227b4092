"""Does a backend move? What it says of its engine and what our own requests see there, over time."""

import copy
from enum import Enum, auto

from gateway.backends.vllm_metrics import Figures

TRY_AGAIN_AFTER = 2
"""So many times the limit after our last request there a backend that stands still is believed to move again.

Nothing may be left that it could move, and its page may be an old one, which would keep a good backend out for ever.
Where it still hangs, that costs the one request that its circuit lets through first.
"""


class Page(Enum):
    """What a page says of the engine, read beside the page before it."""

    MISSING = auto()
    """Nothing: there is none that can be used. The clock of standing still goes on."""
    WORKED = auto()
    """Its counters are others: something was done. The clock begins anew."""
    EXCUSED = auto()
    """It need not move, or cannot be seen to: the first page, an old one, one that says that nothing is left to do. The
    clock begins anew."""
    STANDS = auto()
    """It has something to do, and nothing was done. The clock goes on, and it alone makes it doubtful."""


class Progress:
    """Tells an engine that hangs from one that has much to do: the first stands still, the second never does.

    It stands still when it has something to do, and neither its counters change nor is a request of ours there answered
    or shows another sign of life. It has something to do when it says that requests run or wait, and also when a
    request of ours is there and its page is seen to be fresh: an engine that hung while it was idle says that nothing
    runs. It counts from the moment at which a request of ours is seen there, so that figures alone, which may be old,
    take nothing out of rotation; and where the page is seen to be old, nothing is concluded from it.

    Args:
        limit: seconds of standing still after which it is stalled.
        now: seconds on the monotonic clock.
    """

    def __init__(self, limit: float, now: float) -> None:
        self.limit = limit
        self._last: Figures | None = None  # the last page that could be used
        self._answers = 0
        self._page = Page.MISSING
        self._still_since = now  # the clock of standing still
        self._ours_at = now  # when a request of ours was last there
        self._waits_since = float("-inf")  # when one was first seen there after that clock began

    def copy(self, limit: float) -> "Progress":
        """One that has observed the same, and has a limit of its own: for the prober of another generation."""
        other = copy.copy(self)
        other.limit = limit
        return other

    def observe(self, figures: Figures | None, *, ours: int, answers: int, alive_at: float, now: float) -> bool:
        """Take in what a probe found; whether something was done there since the observation before.

        Args:
            figures: what the backend says; None: nothing that can be used, from which nothing is concluded.
            ours: how many requests of ours are there.
            answers: how many of them were ever answered, by the workers that live: fewer when one has ended.
            alive_at: when one of them last showed a sign of life.
            now: seconds on the monotonic clock, as `alive_at`.
        """
        page = self._page = _read(figures, self._last, ours)
        done = page is Page.WORKED or answers > self._answers
        self._last, self._answers = figures or self._last, answers
        if done or page is Page.EXCUSED:
            self._still_since = now
        self._still_since = max(self._still_since, alive_at)
        if ours:
            self._ours_at = now
            if self._waits_since < self._still_since:
                self._waits_since = now
        elif now - self._ours_at >= TRY_AGAIN_AFTER * self.limit:
            self._still_since = now
        return done

    def doubtful(self, now: float) -> bool:
        """Whether it did not move since the observation before this one, made `now`: reason to look more often."""
        return self._page is Page.STANDS and self._still_since <= self._waits_since and self._still_since < now

    def stalled(self, now: float) -> bool:
        """Whether it has stood still for longer than the limit, as far as is known."""
        return self.doubtful(now) and now - self._waits_since >= self.limit


def _read(figures: Figures | None, last: Figures | None, ours: int) -> Page:
    if figures is None:
        return Page.MISSING
    if last is None:
        return Page.EXCUSED
    if figures.counters != last.counters:
        return Page.WORKED
    dropped_all = last.running > 0 and not figures.running
    return Page.EXCUSED if dropped_all or not _has_work(figures, last, ours) else Page.STANDS


def _has_work(figures: Figures, last: Figures, ours: int) -> bool:
    """Whether the engine has something to do, as far as its page can be believed."""
    if figures.listed is None:
        return figures.running > 0
    return figures.listed != last.listed and (figures.running > 0 or figures.waiting > 0 or ours > 0)
