"""What does a worker know of the fleet? The board's verdicts, as the own paths and the planner ask for them."""

from dataclasses import replace
from typing import NamedTuple

from gateway.backends.availability import patience
from gateway.backends.board import Board
from gateway.backends.breaker import Breaker
from gateway.backends.circuit import Standing, Why
from gateway.backends.health import IN_ROTATION, BackendHealth, Readiness, State
from gateway.backends.reasons import Reason
from gateway.backends.roster import Roster
from gateway.core.clock import Clock
from gateway.core.endpoint import ModelKind
from gateway.core.fleet import Backend, BackendGroup

UNKNOWN = BackendHealth(State.LOADING, Reason.NOT_PROBED, since=0.0)
"""Before the prober has said anything."""
FALLBACK = "fallback"
"""The reason of a readiness that rests on another group than the chat backends' own."""


class CircuitStatus(NamedTuple):
    """A backend's circuit as it stands.

    Attributes:
        standing: what it lets through.
        why: what brought it there; None where it is closed.
        retry_at: from when it lets a trial through, in seconds on the monotonic clock; 0.0 where it is closed.
    """

    standing: Standing = Standing.CLOSED
    why: Why | None = None
    retry_at: float = 0.0


CLOSED = CircuitStatus()


class BackendStatus(NamedTuple):
    """One line of the fleet's state.

    Attributes:
        group: what it serves.
        backend: which one.
        health: the prober's verdict.
        in_flight: requests of ours there, over all workers.
        circuit: its circuit.
    """

    group: BackendGroup
    backend: Backend
    health: BackendHealth
    in_flight: int = 0
    circuit: CircuitStatus = CLOSED

    @property
    def well(self) -> bool:
        """Whether it has its full share of the requests."""
        watched = self.health.reason is not Reason.NOT_WATCHED
        return watched and self.health.state in IN_ROTATION and self.circuit.standing is Standing.CLOSED


class BoardView:
    """The fleet's state as the board tells it.

    Args:
        board: where the prober publishes, in this process or another.
        breaker: reads the circuits.
        roster: the fleet, until `follow` has another.
        clock: its monotonic clock must be the same for all processes.
        interval: seconds between two probes of a backend that is well.
    """

    def __init__(self, board: Board, breaker: Breaker, roster: Roster, clock: Clock, interval: float) -> None:
        self._board = board
        self._breaker = breaker
        self._roster = roster
        self._clock = clock
        self._patience = patience(interval)
        self._epoch = -1
        self._lengths: dict[str, int] = {}  # each group's, as every request asks for it

    def follow(self, roster: Roster) -> None:
        """This is the fleet from now on."""
        self._roster = roster
        self._lengths = {}
        self._epoch = -1

    def statuses(self) -> tuple[BackendStatus, ...]:
        """The verdicts on all backends, in the roster's order; while the prober is silent, the last ones, marked so."""
        watched = not self._is_silent()
        return tuple(self._status(group, backend, watched=watched) for group, backend in self._roster.backends())

    def ready(self) -> Readiness:
        """Ready when a chat backend is in rotation, or one of a chat group's fallback, as requests are answered then.

        Otherwise `loading` while a chat backend may still come up. While the prober is silent, it stays what it was, as
        requests try every backend then (`Availability`): who was ready is asked on, and says why it is not sure.
        """
        statuses = self.statuses()
        serving = {status.group.name for status in statuses if status.health.state in IN_ROTATION}
        groups = self._roster.of_kind(ModelKind.CHAT)
        if any(group.name in serving for group in groups):
            return Readiness(ready=True, reason=Reason.NOT_WATCHED if self._is_silent() else Reason.OK)
        if any(group.fallback in serving for group in groups):
            return Readiness(ready=True, reason=FALLBACK)
        chat = [status.health for status in statuses if status.group.kind is ModelKind.CHAT]
        states = {health.state for health in chat}
        if State.LOADING in states or not chat:
            return Readiness(ready=False, reason=State.LOADING)
        return Readiness(ready=False, reason=chat[0].reason)

    def max_model_len(self, group: BackendGroup) -> int | None:
        """The context length of a group's model in tokens, None when no replica has stated one yet.

        It is the least that those in rotation state; if none of them does, the least that was last known of the others.
        """
        epoch = self._board.epoch()
        if epoch != self._epoch:
            self._epoch = epoch
            self._learn_lengths()
        return self._lengths.get(group.name)

    def _is_silent(self) -> bool:
        """Whether the prober has lived and does not any more, so that what it said is out of date."""
        return 0.0 < self._board.last_beat() < self._clock.monotonic() - self._patience

    def _status(self, group: BackendGroup, backend: Backend, *, watched: bool) -> BackendStatus:
        board, index = self._board, self._board.index(backend.name)
        health = board.verdict(backend.name) or UNKNOWN
        if not watched:
            health = replace(health, reason=Reason.NOT_WATCHED, latency=None, running=None, waiting=None)
        if backend.drained:
            health = replace(health, state=State.DRAINING, reason=Reason.DRAINED)
        return BackendStatus(group, backend, health, board.in_flight(index), self._circuit(index))

    def _circuit(self, index: int) -> CircuitStatus:
        """Another process may close it between two of these words: then it is closed."""
        breaker = self._breaker
        standing, why, retry_at = breaker.standing(index), breaker.why(index), breaker.retry_at(index)
        return CLOSED if standing is Standing.CLOSED or why is None else CircuitStatus(standing, why, retry_at)

    def _learn_lengths(self) -> None:
        for group in self._roster.groups:
            verdicts = [self._board.verdict(backend.name) or UNKNOWN for backend in group.backends]
            stated = [(health.max_model_len, health.state) for health in verdicts if health.max_model_len is not None]
            lengths = [length for length, state in stated if state in IN_ROTATION] or [length for length, _ in stated]
            if lengths:
                self._lengths[group.name] = min(lengths)
