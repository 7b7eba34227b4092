"""Who is next? Every backend in turn, counted over all workers together."""

from collections.abc import Awaitable, Callable, Sequence

from gateway.core.fleet import Backend


class RoundRobin:
    """Backends take turns; four workers split as evenly as one.

    Args:
        next_turn: counts 0, 1, 2, ... for a group, by its name.
    """

    def __init__(self, next_turn: Callable[[str], Awaitable[int]]) -> None:
        self._next_turn = next_turn

    async def order(self, group: str, backends: Sequence[Backend]) -> Sequence[Backend]:
        """The backends, beginning with the one whose turn it is; the rest are for failover."""
        first = await self._next_turn(group) % len(backends)
        return (*backends[first:], *backends[:first])

    def failed(self, backend: str) -> None:
        """A turn is a turn: who fails is left by the breaker, not by us."""
