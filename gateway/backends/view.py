"""What does a worker know of the fleet? The board's verdicts, as the own paths and the planner ask for them."""

from typing import NamedTuple

from gateway.backends.board import Board
from gateway.backends.health import IN_ROTATION, BackendHealth, Readiness, State
from gateway.backends.reasons import Reason
from gateway.backends.roster import Roster
from gateway.core.endpoint import ModelKind
from gateway.core.fleet import Backend, BackendGroup

UNKNOWN = BackendHealth(State.LOADING, Reason.NOT_PROBED, since=0.0)
"""Before the prober has said anything."""


class BackendStatus(NamedTuple):
    """One line of the fleet's state.

    Attributes:
        group: what it serves.
        backend: which one.
        health: the prober's verdict.
        in_flight: requests of ours there, over all workers.
    """

    group: BackendGroup
    backend: Backend
    health: BackendHealth
    in_flight: int = 0


class BoardView:
    """The fleet's state as the board tells it.

    Args:
        board: where the prober publishes, in this process or another.
        roster: the fleet.
    """

    def __init__(self, board: Board, roster: Roster) -> None:
        self._board = board
        self._roster = roster
        self._epoch = -1
        self._lengths: dict[str, int] = {}  # each group's, as every request asks for it

    def statuses(self) -> tuple[BackendStatus, ...]:
        """The verdicts on all backends, in the roster's order."""
        board = self._board
        return tuple(
            BackendStatus(
                group, backend, board.verdict(backend.name) or UNKNOWN, board.in_flight(board.index(backend.name))
            )
            for group, backend in self._roster.backends()
        )

    def ready(self) -> Readiness:
        """Ready when one chat backend is in rotation; otherwise `loading` while one of them may still come up."""
        chat = [status.health for status in self.statuses() if status.group.kind is ModelKind.CHAT]
        states = {health.state for health in chat}
        if states & IN_ROTATION:
            return Readiness(ready=True, reason=Reason.OK)
        if State.LOADING in states or not chat:
            return Readiness(ready=False, reason=State.LOADING)
        return Readiness(ready=False, reason=chat[0].reason)

    def max_model_len(self, group: BackendGroup) -> int | None:
        """The context length of a group's model in tokens: the least any replica states, None when none has yet."""
        epoch = self._board.epoch()
        if epoch != self._epoch:
            self._epoch = epoch
            self._learn_lengths()
        return self._lengths.get(group.name)

    def _learn_lengths(self) -> None:
        for group in self._roster.groups:
            verdicts = (self._board.verdict(backend.name) for backend in group.backends)
            stated = [health.max_model_len for health in verdicts if health is not None and health.max_model_len]
            if stated:
                self._lengths[group.name] = min(stated)
