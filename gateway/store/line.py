"""Who may go next? The discipline of one key's queue, the same for every store."""

from typing import NamedTuple


class Line(NamedTuple):
    """Slots taken, requests waiting, and the limit that the newest request brought."""

    in_flight: int
    queued: int
    limit: int


NOBODY = Line(0, 0, 0)
"""The line of a key that nobody uses; it is kept nowhere."""


def heads_due(line: Line) -> int:
    """How many of those waiting may start now, from the head."""
    return max(min(line.queued, line.limit - line.in_flight), 0)


def may_start(line: Line) -> bool:
    """May a newcomer start? Only when nobody waits: otherwise it would overtake."""
    return not line.queued and line.in_flight < line.limit
