"""Whose turn is it? Balancing policies: each orders the backends that may take a request, the first choice first."""

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from random import Random
from typing import Final, NamedTuple, Protocol

from gateway.core.clock import Clock
from gateway.core.fleet import Backend, BackendGroup
from gateway.routing.choices import Balancing
from gateway.routing.policies.least_inflight import LeastInflight
from gateway.routing.policies.loads import Loads
from gateway.routing.policies.power_of_two import PowerOfTwo
from gateway.routing.policies.round_robin import RoundRobin
from gateway.routing.policies.weighted_round_robin import WeightedRoundRobin

NextTurn = Callable[[str], Awaitable[int]]
"""Counts 0, 1, 2, ... per name over all workers together."""


class Policy(Protocol):
    """Chooses among the backends of one group."""

    def order(self, group: str, backends: Sequence[Backend]) -> Awaitable[Sequence[Backend]]:
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


class ByGroup:
    """A policy for each group that has one of its own, another for the rest.

    Args:
        usual: for the rest.
        own: by the group's name.
    """

    def __init__(self, usual: Policy, own: Mapping[str, Policy]) -> None:
        self._usual = usual
        self._own = own
        self._all = {id(policy): policy for policy in (usual, *own.values())}.values()

    def order(self, group: str, backends: Sequence[Backend]) -> Awaitable[Sequence[Backend]]:
        """As that group's policy has it."""
        return self._own.get(group, self._usual).order(group, backends)

    def failed(self, backend: str) -> None:
        """All are told: a backend's name does not say whose it is."""
        for policy in self._all:
            policy.failed(backend)


class Policies:
    """The policies of a worker, each made once: what one has learned outlives a change of the fleet.

    Args:
        usual: BALANCING_POLICY.
        means: what they decide by.
    """

    def __init__(self, usual: Balancing, means: Means) -> None:
        self._usual = usual
        self._means = means
        self._made: dict[Balancing, Policy] = {}

    def of(self, groups: Iterable[BackendGroup]) -> Policy:
        """The policy for a fleet of these groups: the usual one itself where none has another."""
        usual = self._one(self._usual)
        own = {group.name: self._one(Balancing(group.policy)) for group in groups if group.policy}
        return ByGroup(usual, own) if own else usual

    def _one(self, name: Balancing) -> Policy:
        if name not in self._made:
            self._made[name] = POLICIES[name](self._means)
        return self._made[name]
