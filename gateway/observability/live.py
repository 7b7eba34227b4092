"""How many are in it now? Gauges that move with every request but are written ten times a second at the most."""

import asyncio

from gateway.observability import metrics as m
from gateway.observability.metrics import Metrics

WRITE_SECS = 0.1
"""A gauge's write costs as much as a counter's; nobody reads it more often than this."""


class LiveGauges:
    """Counts of requests that wait for a slot and that hold one, in this worker."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._counts = {m.QUEUED: 0, m.IN_FLIGHT: 0}
        self._written = dict(self._counts)
        self._due = False

    def move(self, family: m.Family, by: int) -> None:
        """Add to a count; it is written a moment later, together with what changes until then."""
        self._counts[family] += by
        if not self._due:
            self._due = True
            asyncio.get_running_loop().call_later(WRITE_SECS, self._write)

    def _write(self) -> None:
        self._due = False
        for family, count in self._counts.items():
            if count != self._written[family]:
                self._metrics.move(family, count - self._written[family])
                self._written[family] = count
