"""How many are in it now? Gauges that move with every request but are written ten times a second at the most."""

import asyncio
from collections import Counter
from collections.abc import Callable
from typing import Self

from gateway.observability.families.limits import RETRY_BUDGET
from gateway.observability.families.requests import IN_FLIGHT, QUEUED, SEATS_WAITING
from gateway.observability.gaps import Gaps
from gateway.observability.metrics import Metrics

WRITE_SECS = 0.1
"""Nobody reads gauges more often; a request moves them four times."""


class LiveGauges:
    """Counts of requests in this worker; a scope around its life, in which they are written.

    Attributes:
        queued: requests that wait for a slot.
        in_flight: requests that hold one.
        seats: requests that wait for a seat, by their group; a group that stands there is shown.
        gaps: between tokens, which are counted at the same times.
        retry_budget: says what share of it is left; None: nothing is retried here.
    """

    __slots__ = (
        "_metrics",
        "_seats_written",
        "_timer",
        "_written",
        "gaps",
        "in_flight",
        "queued",
        "retry_budget",
        "seats",
    )

    def __init__(self, metrics: Metrics) -> None:
        self.queued = 0
        self.in_flight = 0
        self.seats: Counter[str] = Counter()
        self.gaps = Gaps(metrics)
        self.retry_budget: Callable[[], float] | None = None
        self._seats_written: dict[str, int] = {}
        self._metrics = metrics
        self._written = (0, 0)
        self._timer: asyncio.TimerHandle | None = None

    def __enter__(self) -> Self:
        self._timer = asyncio.get_running_loop().call_later(WRITE_SECS, self._tick)
        return self

    def __exit__(self, *_: object) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._write()

    def _tick(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(WRITE_SECS, self._tick)
        self._write()

    def _write(self) -> None:
        now = (self.queued, self.in_flight)
        if now != self._written:
            self._metrics.move(QUEUED, now[0] - self._written[0])
            self._metrics.move(IN_FLIGHT, now[1] - self._written[1])
            self._written = now
        if self.seats != self._seats_written:
            for group, count in self.seats.items():
                self._metrics.count(SEATS_WAITING, group, amount=count - self._seats_written.get(group, 0))
            self._seats_written = dict(self.seats)
        if self.retry_budget is not None:
            self._metrics.figure(RETRY_BUDGET).put(self.retry_budget())
        self.gaps.count()
