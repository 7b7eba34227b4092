"""Whose turn is it? Balancing policies: each orders the backends that may take a request, the first choice first."""

from collections.abc import Awaitable, Callable, Sequence
from random import Random
from typing import Final, NamedTuple, Protocol

from gateway.core.clock import Clock
from gateway.core.fleet import Backend
from gateway.routing.policies.least_inflight import LeastInflight
from gateway.routing.policies.loads import Loads
from gateway.routing.policies.power_of_two import PowerOfTwo
from gateway.routing.policies.round_robin import RoundRobin
from gateway.routing.policies.weighted_round_robin import WeightedRoundRobin
from gateway.routing.settings import Balancing

NextTurn = Callable[[str], Awaitable[int]]
"""Counts 0, 1, 2, ... per name over all workers together."""


class Policy(Protocol):
    """Chooses among the backends of one group."""

    async def order(self, group: str, backends: Sequence[Backend]) -> Sequence[Backend]:
        """`backends` of the group of that name in the order in which one request may try them; no two are alike.

        Asked only where there are two or more.
        """
        ...

    def failed(self, backend: str) -> None:
        """The backend of that name failed a request, or refused it."""
        ...


class Means(NamedTuple):
    """What policies decide by.

    Attributes:
        next_turn: the turn of a group, by its name.
        in_flight: how many requests run at a backend over all workers, by its name.
        clock: for what is forgotten in time.
        rng: for what is left to chance.
    """

    next_turn: NextTurn
    in_flight: Callable[[str], int]
    clock: Clock
    rng: Random


POLICIES: Final[dict[Balancing, Callable[[Means], Policy]]] = {
    Balancing.ROUND_ROBIN: lambda means: RoundRobin(means.next_turn),
    Balancing.WEIGHTED_ROUND_ROBIN: lambda means: WeightedRoundRobin(means.next_turn),
    Balancing.LEAST_INFLIGHT: lambda means: LeastInflight(Loads(means.in_flight, means.clock), means.rng),
    Balancing.POWER_OF_TWO: lambda means: PowerOfTwo(Loads(means.in_flight, means.clock), means.rng),
}
"""By the name that BALANCING_POLICY gives it: what makes the policy."""
