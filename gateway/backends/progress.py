"""Does a backend move? What it says of its engine and what our own requests see there, over time."""

import copy

from gateway.backends.vllm_metrics import Figures

TRY_AGAIN_AFTER = 2
"""So many times the limit after our last request there a backend that stands still is believed to move again.

Nothing may be left that it could move, and its page may be an old one, which would keep a good backend out for ever.
Where it still hangs, that costs the one request that its circuit lets through first.
"""


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
        self._last: Figures | None = None
        self._working = False
        self._still_since = now
        self._tried_since = float("-inf")
        self._tried = now
        self._answers = 0

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
        last = self._last
        worked = figures is not None and last is not None and figures.counters != last.counters
        changed = worked or answers > self._answers
        self._working = figures is not None and last is not None and _has_work(figures, last, ours)
        ended = figures is not None and last is not None and last.running > 0 and not figures.running
        if changed or ended or last is None or (figures is not None and not self._working):
            self._still_since = now
        self._answers = answers
        self._still_since = max(self._still_since, alive_at)
        self._last = figures or last
        if ours:
            self._tried = now
            if self._tried_since < self._still_since:
                self._tried_since = now
        elif now - self._tried >= TRY_AGAIN_AFTER * self.limit:
            self._still_since = now
        return changed

    def doubtful(self, now: float) -> bool:
        """Whether it did not move since the observation before this one, made `now`: reason to look more often."""
        return self._working and self._tried_since >= self._still_since and now > self._still_since

    def stalled(self, now: float) -> bool:
        """Whether it has stood still for longer than the limit, as far as is known."""
        return self.doubtful(now) and now - self._tried_since >= self.limit


def _has_work(figures: Figures, last: Figures, ours: int) -> bool:
    """Whether the engine has something to do, as far as its page can be believed."""
    if figures.listed is None:
        return figures.running > 0
    return figures.listed != last.listed and (figures.running > 0 or figures.waiting > 0 or ours > 0)
