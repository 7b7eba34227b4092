"""How full is it? Requests that run at a backend, and what it is charged for having failed."""

from collections.abc import Callable, Sequence

from msgspec import Struct

from gateway.core.clock import Clock
from gateway.core.fleet import Backend

HALF_LIFE_SECS = 5.0
"""After so long a request, failed or not, counts half as much."""
CHARGE = 4.0
"""A backend that fails everything looks as full as so many times the fullest one: it gets a request every two
half-lives, which is how its recovery is noticed."""


class _Record(Struct, eq=False):
    """What became of a backend's requests of late."""

    sent: float = 0.0
    failed: float = 0.0
    at: float = 0.0


class Loads:
    """Loads by which backends can be compared.

    A replica that fails at once has the fewest requests running: by that count alone it would attract them all. It is
    charged for the share of its requests that failed, as this worker saw them; a share, so that one failure among
    hundreds moves nothing.

    Args:
        in_flight: how many requests run at a backend over all workers, by its name.
        clock: for what is forgotten.
    """

    def __init__(self, in_flight: Callable[[str], int], clock: Clock) -> None:
        self._in_flight = in_flight
        self._clock = clock
        self._records: dict[str, _Record] = {}

    def of(self, backends: Sequence[Backend]) -> list[float]:
        """The load of each: requests, and the charge in requests."""
        now = self._clock.monotonic()
        running = [self._in_flight(backend.name) for backend in backends]
        fullest = max(running) + 1
        shares = (self._failed_share(backend.name, now) for backend in backends)
        return [count + CHARGE * fullest * share for count, share in zip(running, shares, strict=True)]

    def sent(self, backend: str) -> None:
        """It gets a request."""
        self._record(backend, self._clock.monotonic()).sent += 1

    def failed(self, backend: str) -> None:
        """It failed one."""
        self._record(backend, self._clock.monotonic()).failed += 1

    def _failed_share(self, backend: str, now: float) -> float:
        if backend not in self._records:
            return 0.0
        record = self._record(backend, now)
        # One more, as if a request had gone well: nobody is judged by nothing, and a share falls as time passes.
        return record.failed / (max(record.sent, record.failed) + 1)

    def _record(self, backend: str, now: float) -> _Record:
        """The backend's record, with what time has taken from it."""
        record = self._records.get(backend)
        if record is None:
            record = self._records[backend] = _Record(at=now)
        left = 0.5 ** ((now - record.at) / HALF_LIFE_SECS)
        record.sent, record.failed, record.at = record.sent * left, record.failed * left, now
        return record
