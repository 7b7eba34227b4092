"""Whose turn is it? Balancing policies: each orders a group's backends for one request, the first choice first."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

from gateway.core.fleet import Backend, BackendGroup

NextTurn = Callable[[str], Awaitable[int]]
"""Counts 0, 1, 2, ... per name over all workers together."""


class Policy(Protocol):
    """Chooses among the backends of one group."""

    async def order(self, group: BackendGroup) -> Sequence[Backend]:
        """Backends of `group` in the order in which one request may try them: the first choice first, no two alike.

        Not asked about a group of one.
        """
        ...


class RoundRobin:
    """Backends take turns, counted over all workers together, so that four workers split as evenly as one."""

    def __init__(self, next_turn: NextTurn) -> None:
        self._next_turn = next_turn

    async def order(self, group: BackendGroup) -> Sequence[Backend]:
        """The backends of `group`, beginning with the one whose turn it is; the rest are for failover."""
        backends = group.backends
        first = await self._next_turn(group.name) % len(backends)
        return backends[first:] + backends[:first]
