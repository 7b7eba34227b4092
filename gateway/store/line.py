"""Who may go next? The discipline of one key's queue, the same for every store.

A line is slots taken, requests waiting, and the limit that the newest request brought.
"""

ROOM = 2
"""There is room while at most one slot in so many is taken: then nobody misses one that is kept for a moment."""


def may_start(in_flight: int, queued: int, limit: int) -> bool:
    """May a newcomer start? Only when nobody waits: otherwise it would overtake."""
    return not queued and in_flight < limit


def heads_due(in_flight: int, queued: int, limit: int) -> int:
    """How many of those waiting may start now, from the head."""
    return max(min(queued, limit - in_flight), 0) if queued else 0
