"""Does a backend move? What it says of its engine and what our own requests see there, over time."""

from gateway.backends.vllm_metrics import Figures

TRY_AGAIN_AFTER = 10
"""So many times the limit after our last request there a backend that stands still is believed to move again.

Its page may be a stale one, which would keep a good backend out for ever. An engine that hangs costs a request then.
"""


class Progress:
    """Tells an engine that hangs from one that has much to do: the first stands still, the second never does.

    It stands still when it has running requests, by its own word, and neither its counters change nor is a request of
    ours there answered or shows another sign of life. It counts from the moment at which a request of ours is seen
    there, so that figures alone, which may be old, take nothing out of rotation.

    Args:
        limit: seconds of standing still after which it is stalled.
        now: seconds on the monotonic clock.
    """

    def __init__(self, limit: float, now: float) -> None:
        self._limit = limit
        self._last: Figures | None = None
        self._told = False
        self._still_since = now
        self._tried_since = float("-inf")
        self._tried = now
        self._answers = 0

    def observe(self, figures: Figures | None, *, ours: int, answers: int, alive_at: float, now: float) -> bool:
        """Take in what a probe found; whether something was done there since the observation before.

        Args:
            figures: what the backend says; None: nothing that can be used, from which nothing is concluded.
            ours: how many requests of ours are there.
            answers: how many of them were ever answered.
            alive_at: when one of them last showed a sign of life.
            now: seconds on the monotonic clock, as `alive_at`.
        """
        worked = figures is not None and self._last is not None and figures.counters != self._last.counters
        changed = worked or answers != self._answers
        if changed or (figures is not None and (self._last is None or not figures.running)):
            self._still_since = now
        self._answers = answers
        self._still_since = max(self._still_since, alive_at)
        self._told = figures is not None
        self._last = figures or self._last
        if ours:
            self._tried = now
            if self._tried_since < self._still_since:
                self._tried_since = now
        elif now - self._tried >= TRY_AGAIN_AFTER * self._limit:
            self._still_since = now
        return changed

    def doubtful(self, now: float) -> bool:
        """Whether it did not move since the observation before this one, made `now`: reason to look more often."""
        running = self._told and self._last is not None and self._last.running > 0
        return running and self._tried_since >= self._still_since and now > self._still_since

    def stalled(self, now: float) -> bool:
        """Whether it has stood still for longer than the limit, as far as is known."""
        return self.doubtful(now) and now - self._tried_since >= self._limit
