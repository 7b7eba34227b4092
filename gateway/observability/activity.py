"""Has a request run since the last look? What the figures of all workers say of it, those of the dead included."""

from typing import Final, NamedTuple

from gateway.observability.families.backends import BACKEND_ENGINE
from gateway.observability.families.cached import CACHE_REQUESTS
from gateway.observability.families.processes import UPDATES_LOST
from gateway.observability.families.requests import IN_FLIGHT, QUEUE_WAIT, QUEUED
from gateway.observability.totals import Sums, Totals

RAN: Final = frozenset({QUEUE_WAIT.name, CACHE_REQUESTS.name, UPDATES_LOST.name})
"""Counts that grow when a request has had a slot or an answer from the cache. An update that found no room may have
been such a count. Whatever the door refuses, and paths without a model (`/health`, `/v1/models`), are in none."""
OURS: Final = frozenset({IN_FLIGHT.name, QUEUED.name})
"""Gauges of what runs and waits now."""
ENGINES: Final = frozenset({BACKEND_ENGINE.name})
"""The same by the engines' own word: another host's gateway, or somebody without one, may use them too."""


class Look(NamedTuple):
    """What one look has seen.

    Attributes:
        ran: whether a request has ended since the look before.
        running: requests that run or wait now, by our own count or the engines', whichever says more.
    """

    ran: bool
    running: int

    @property
    def active(self) -> bool:
        """Whether anybody was served since the look before."""
        return self.ran or self.running > 0


class Activity:
    """Compares the figures of one gateway's processes from look to look.

    No request is missed, however short: what has ended is counted, whether or not a look fell into its time, and what
    a dead worker had counted stays.
    """

    def __init__(self, totals: Totals) -> None:
        self._totals = totals
        self._before = 0.0

    def look(self) -> Look:
        """Take the figures of this moment."""
        sums = self._totals.sums(RAN | OURS | ENGINES)
        ended = counted(sums)
        ran, self._before = ended != self._before, ended
        return Look(ran, max(gauged(sums, OURS), gauged(sums, ENGINES)))


def counted(sums: Sums) -> float:
    """How often the counts of `RAN` were raised; a histogram counts its observations, whose sum stands before them."""
    return sum(
        sum(figures[1:]) if name == QUEUE_WAIT.name else figures[0]
        for name in RAN
        for figures in sums.get(name, {}).values()
    )


def gauged(sums: Sums, gauges: frozenset[str]) -> int:
    """The sum of these gauges over all their series."""
    return round(sum(figures[0] for name in gauges for figures in sums.get(name, {}).values()))
