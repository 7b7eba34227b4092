"""May a refused request be tried elsewhere? A budget that keeps retries from feeding an overload."""

from random import Random

from gateway.core.clock import Clock

RATIO = 0.1
"""Retries per request; a fleet in trouble gets at most a tenth more work from them."""
FLOOR_PER_SEC = 3.0
"""Retries a second that are always allowed, so that a quiet gateway can still move a request."""
CAPACITY = 10.0
"""Retries that may be saved up."""
PAUSE_SECS = (0.01, 0.05)
"""Between a stated refusal and the next replica: chance keeps those that one replica refused together from arriving
together at the next."""


class RetryBudget:
    """For refusals that a backend states (503, a draining 500); what was never sent moves on outside of it.

    Each group has its own: a model whose replicas are all full leaves the others theirs.
    """

    def __init__(self, clock: Clock, rng: Random | None = None) -> None:
        self._clock = clock
        self._rng = rng or Random()  # noqa: S311 -- no secret
        self._tokens = CAPACITY
        self._refilled = clock.monotonic()

    def note_request(self) -> None:
        """A request was dispatched: a share of a retry is earned."""
        if self._tokens < CAPACITY:
            self._tokens = min(CAPACITY, self._tokens + RATIO)

    def spend(self) -> bool:
        """Take one retry if the budget has one."""
        now = self._clock.monotonic()
        self._tokens = min(CAPACITY, self._tokens + (now - self._refilled) * FLOOR_PER_SEC)
        self._refilled = now
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True

    def left(self) -> float:
        """What share of it is there now."""
        grown = self._tokens + (self._clock.monotonic() - self._refilled) * FLOOR_PER_SEC
        return min(1.0, grown / CAPACITY)

    async def pause(self) -> None:
        """Wait a moment, before a retry that was granted."""
        await self._clock.sleep(self._rng.uniform(*PAUSE_SECS))
