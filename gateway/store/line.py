"""Who may go next? The discipline of one key's queue, the same for every store.

A line is slots taken, requests waiting, and the limit that the newest request brought.
"""


def may_start(in_flight: int, queued: int, limit: int) -> bool:
    """May a newcomer start? Only when nobody waits: otherwise it would overtake."""
    return not queued and in_flight < limit


def heads_due(in_flight: int, queued: int, limit: int) -> int:
    """How many of those waiting may start now, from the head."""
    return max(min(queued, limit - in_flight), 0) if queued else 0


def has_room(in_flight: int, limit: int) -> bool:
    """Is at most half of the limit taken? Then nobody misses a slot that is kept for a moment."""
    return 2 * in_flight <= limit
