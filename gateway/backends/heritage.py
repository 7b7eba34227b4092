"""What does a generation's prober know from the one before, and see at the workers of all that live?"""

from typing import NamedTuple

from gateway.backends.board import Board
from gateway.backends.progress import Progress
from gateway.core.fleet import Backend


class Seen(NamedTuple):
    """What workers know of a backend.

    Attributes:
        in_flight: their requests there.
        answers: how many were answered to their end; fewer when a worker or a generation has ended.
        alive_at: when one last saw a sign of life, in seconds on the monotonic clock; 0.0 when none did.
    """

    in_flight: int
    answers: int
    alive_at: float


class Past(NamedTuple):
    """What is remembered of a backend over reloads.

    Attributes:
        since: when the first generation that knew it began, in seconds on the monotonic clock.
        progress: whether it moves.
    """

    since: float
    progress: Progress


class Heritage:
    """One generation's share in what outlives generations; it lasts until `leave`.

    A backend is the same one over a reload if its name and its URL are. A request that hangs at a worker which retires
    is as good a reason to doubt a backend as one at a new worker, so all generations that live look at all boards.

    Args:
        board: the generation's own, which nobody else uses yet.
        stall: seconds of standing still after which a backend is stalled.
        now: seconds on the monotonic clock.
        before: that of the generation that this one replaces.

    Attributes:
        board: as given, with what stood on the board before.
        living: the boards of all generations that live; one list for all of them.
        pasts: of each of the board's backends, by name and URL.
        hanging: until when another host's word holds that a backend hangs, by its name; monotonic clock.
    """

    def __init__(self, board: Board, stall: float, now: float, before: "Heritage | None" = None) -> None:
        self.board = board
        self.living: list[Board] = [] if before is None else before.living
        self.living.append(board)
        known = {} if before is None else before.pasts
        if before is not None:
            board.adopt(before.board)
        self._stall = stall
        self.hanging: dict[str, float] = {}
        self.pasts: dict[tuple[str, str], Past] = {}
        for key in ((backend.name, backend.url) for backend in board.backends.values()):
            past = known.get(key)
            self.pasts[key] = (
                Past(now, Progress(stall, now)) if past is None else Past(past.since, past.progress.copy(stall))
            )

    def leave(self) -> None:
        """The generation has ended, and its board says nothing more."""
        self.living.remove(self.board)

    def past(self, backend: Backend) -> Past:
        """What is remembered of one of the board's backends."""
        return self.pasts[backend.name, backend.url]

    def begin(self, backend: Backend, now: float) -> bool:
        """Remember a backend from that moment on; False: it is remembered already."""
        key = backend.name, backend.url
        if key in self.pasts:
            return False
        self.pasts[key] = Past(now, Progress(self._stall, now))
        return True

    def forget(self, backend: Backend) -> None:
        """It has left the fleet: should it come back, it begins anew."""
        self.pasts.pop((backend.name, backend.url), None)

    def hangs_elsewhere(self, backend: Backend, now: float) -> bool:
        """Whether another host has seen that its engine stands still; where it moves here, that is out of date."""
        return self.hanging.get(backend.name, 0.0) > now

    def seen(self, backend: Backend) -> Seen:
        """What the workers of all generations that live know of a backend."""
        places = [(board, index) for board in self.living if (index := board.find(backend)) is not None]
        return Seen(
            sum(board.in_flight(index) for board, index in places),
            sum(board.answers(index) for board, index in places),
            max((board.last_alive(index) for board, index in places), default=0.0),
        )
