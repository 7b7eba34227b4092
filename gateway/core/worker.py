"""Which worker is it, and is it going away? What a worker process tells the application it runs."""

import secrets
from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass(slots=True)
class Drain:
    """The end of a worker, in two moments.

    First `draining` turns True: nothing new is accepted, `/ready` says no, running requests go on. When DRAIN_SECS
    are over, the deadline's callbacks run: whoever holds requests cuts them, with a word of farewell.
    """

    draining: bool = False
    _callbacks: list[Callable[[], None]] = field(default_factory=list)

    def on_deadline(self, callback: Callable[[], None]) -> None:
        """Call `callback` once, from the event loop, when the time to finish is over."""
        self._callbacks.append(callback)

    def begin(self) -> None:
        """Nothing new from here on."""
        self.draining = True

    def end(self) -> None:
        """The time to finish is over."""
        callbacks, self._callbacks = self._callbacks, []
        for callback in callbacks:
            callback()


@dataclass(frozen=True, slots=True)
class Refused:
    """What the server answered by itself: a head that is no request, too large or too late.

    Attributes:
        request_id: the id that the client was told.
        status: of the answer.
        outcome: the failure's word, from a bounded set.
        peer: the address of the socket's other end.
        target: the request's target as far as it came; anything may stand in it.
        seconds: for how long the head was waited for; 0 when it came in one piece.
    """

    request_id: str
    status: int
    outcome: str
    peer: str
    target: str
    seconds: float


@dataclass(slots=True)
class Refusals:
    """Who is told of what the server refuses; nobody, until somebody listens."""

    tell: Callable[[Refused], None] = lambda _: None

    def listen(self, tell: Callable[[Refused], None]) -> None:
        """Call `tell` from the event loop, once for every refusal of a connection that is made from now on."""
        self.tell = tell


@dataclass(slots=True)
class Beats:
    """Who is told once a second that the worker's loop turns; nobody, until somebody listens."""

    tell: Callable[[float, int], None] = lambda _late, _clients: None

    def listen(self, tell: Callable[[float, int], None]) -> None:
        """Call `tell` at each beat with the seconds by which it came late, and how many clients are connected."""
        self.tell = tell


def new_request_ids() -> str:
    """What the ids of one worker's requests begin with: unique over workers and restarts, it need not be a secret.

    vLLM makes the id part of its own, so that two requests with one id would be one to it.
    """
    return f"{secrets.token_hex(8)}-"


@dataclass(frozen=True, slots=True)
class WorkerIdentity:
    """One worker among its siblings.

    Attributes:
        index: 0 up to `workers - 1`; a worker that replaces a dead one takes over its index.
        workers: how many there are.
        drain: tells of this worker's end.
        refusals: tells of what the server answered by itself.
        beats: tells of each second of the loop's.
        page: the inherited descriptor of the page that its metrics are counted in; None: nobody collects them.
        request_ids: what the ids of its requests begin with; the supervisor's log ties it to the worker.
        board: the inherited descriptor of the page on which all processes of the host say what they know of the
            backends; None: there is no supervisor, and the application keeps a board of its own.
        row: this worker's row of that board.
        control: path of the socket on which the control process answers; empty: there is none.
    """

    index: int = 0
    workers: int = 1
    drain: Drain = field(default_factory=Drain)
    refusals: Refusals = field(default_factory=Refusals)
    beats: Beats = field(default_factory=Beats)
    page: int | None = None
    request_ids: str = field(default_factory=new_request_ids)
    board: int | None = None
    row: int = 0
    control: str = ""
