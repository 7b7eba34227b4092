"""What do figures say of the backends? Their states, circuits and loads, and how much each may have."""

from collections.abc import Iterator
from collections.abc import Set as AbstractSet

from gateway.backends.circuit import Standing
from gateway.backends.health import State
from gateway.backends.probed import Probed
from gateway.observability.families.backends import (
    BACKEND_CIRCUIT,
    BACKEND_DRIFT,
    BACKEND_ENGINE,
    BACKEND_IN_FLIGHT,
    BACKEND_LIMIT,
    BACKEND_PROBE,
    BACKEND_STATE,
    CIRCUIT_CHANGES,
)
from gateway.observability.families.family import Family
from gateway.observability.metrics import Metrics

Said = dict[tuple[Family, tuple[str, ...]], float]
"""What is said of one backend."""


class BackendFigures:
    """What `/metrics` says of the backends; nothing while it is quiet, and nothing of those that have gone.

    Gauges are shown as a whole, not added to a page one by one: models come and go at run time, and a page on which
    all of them stayed would be full one day, with no room for the state of the next.

    Args:
        metrics: those of the process; nothing else is shown there.
        limit: how many requests may be at one backend; 0: any number, and then there is no limit to show.

    Attributes:
        quiet: whether another companion speaks: the figures of all pages are added up.
    """

    def __init__(self, metrics: Metrics, limit: int = 0) -> None:
        self.quiet = False
        self._metrics = metrics
        self._limit = limit
        self._said: dict[str, Said] = {}

    def take(self, probed: Probed) -> None:
        """Take over what a probe found, and show it."""
        name, health, ours = probed.backend.name, probed.after, probed.ours
        said = self._of(name)
        for state in State:
            said[BACKEND_STATE, (name, state)] = float(state is health.state)
        said[BACKEND_PROBE, (name,)] = health.latency or 0.0
        for condition, count in (("running", health.running), ("waiting", health.waiting)):
            said[BACKEND_ENGINE, (name, condition)] = count or 0.0
        known = health.running is not None and health.waiting is not None
        drift = (health.running or 0) + (health.waiting or 0) - ours
        said[BACKEND_DRIFT, (name,)] = float(drift) if known else 0.0
        self.show()

    def look(self, name: str, circuit: Standing, ours: int) -> None:
        """Take over what workers do: how a backend's circuit stands, and how many of our requests are there."""
        said = self._of(name)
        for standing in Standing:
            said[BACKEND_CIRCUIT, (name, standing)] = float(standing is circuit)
            self._metrics.figure(CIRCUIT_CHANGES, name, standing)  # a count that is to be watched begins at 0
        said[BACKEND_IN_FLIGHT, (name,)] = float(ours)
        if self._limit:
            said[BACKEND_LIMIT, (name,)] = float(self._limit)

    def keep(self, names: AbstractSet[str]) -> None:
        """Say no more of the backends that are not of these names."""
        for gone in self._said.keys() - names:
            del self._said[gone]
        self.show()

    def clear(self) -> None:
        """Forget what was said of any."""
        self._said.clear()
        self.show()

    def show(self) -> None:
        """Have it seen as it is known now."""
        self._metrics.show(self._all())

    def _of(self, name: str) -> Said:
        return self._said.setdefault(name, {})

    def _all(self) -> Iterator[tuple[Family, tuple[str, ...], float]]:
        for said in self._said.values():
            for (family, labels), value in said.items():
                yield family, labels, value
