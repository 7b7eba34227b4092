"""How did a backend do? Each attempt at one is counted while it lasts, and judged once when it is over."""

from collections.abc import Sequence

from msgspec import Struct

from gateway.backends.board import Board
from gateway.backends.breaker import Breaker
from gateway.core.asgi import Headers
from gateway.core.clock import Clock
from gateway.core.context import RequestContext
from gateway.core.fleet import Backend
from gateway.core.structs import stored_plainly
from gateway.core.traceparent import passed_on
from gateway.observability.families.backends import BACKEND_SIGNALS
from gateway.observability.metrics import Metrics
from gateway.proxy.buffered import BufferedReply
from gateway.proxy.seats import HeldSeat
from gateway.proxy.signals import Signal, of_failure
from gateway.routing.policies import Policy
from gateway.upstream.errors import NeverSent
from gateway.upstream.protocol import Reply

SUSPECT_SECS = 1.0
"""How long a backend is suspected that could not be connected to; the prober has looked at it by then."""
ASIDE_SECS = 1.0
"""How long others are asked before a backend that said it was full."""
NO_REPLY = BufferedReply(0, [], b"")
"""Stands where no answer has come: nothing happens when it is closed."""

_SUCCESS = Signal.SUCCESS


@stored_plainly
class Attempt(Struct, eq=False):  # made per request: see core/structs.py
    """One request at one backend, from the choice to the answer's end.

    Attributes:
        backend: whom.
        index: its place on the board.
        counted: whether it is on the board: it occupies the backend's engine, and its answer is a sign of life.
        trial: the number of the trial for which a half-open breaker waits to hear how it goes; 0: it is none.
        signal: what it says of the backend, should it end now without a failure.
        reply: the answer, once its head is there; until then `NO_REPLY`.
        seat: what is held there, where seats are limited.
    """

    backend: Backend
    index: int
    counted: bool = True
    trial: int = 0
    signal: Signal = _SUCCESS
    reply: Reply = NO_REPLY
    seat: HeldSeat | None = None


class Attempts:
    """Begins and ends attempts: every one that is begun must be closed, once.

    Args:
        board: knows the backends, counts what runs there, and is told of connections that failed.
        breaker: is told how each attempt went.
        policy: is told of those that failed.
        metrics: counts everything but successes.
        clock: for how long a backend is avoided.
    """

    def __init__(self, board: Board, breaker: Breaker, policy: Policy, metrics: Metrics, clock: Clock) -> None:
        self._indexes = board.indexes
        self._board = board
        self._breaker = breaker
        self.policy = policy
        self._metrics = metrics
        self._clock = clock
        self.aside: dict[str, float] = {}
        """Backends that said that they were full, and until when others are asked before them."""

    def begin(self, backend: Backend, ctx: RequestContext) -> Attempt:
        """A request goes there.

        One that needs no engine is not counted: an idle engine would seem to hang over it, and one that hangs to move.
        """
        index = self._indexes[backend.name]
        if not ctx.endpoint.uses_engine:
            return Attempt(backend, index, counted=False)
        self._board.begin(index)
        return Attempt(backend, index)

    def trace_fields(self, ctx: RequestContext) -> Headers:
        """What the backend is told of a request's trace: what its client said of it."""
        return passed_on(ctx.fields)

    def take_trial(self, backend: Backend) -> int:
        """The number of the trial, which the attempt that begins next must bear; 0: another request may try it."""
        return self._breaker.take_trial(self._indexes[backend.name])

    def prove(self, attempt: Attempt) -> None:
        """A stream has made its first token: that decides a trial, which must not last as long as the stream."""
        if attempt.trial:
            number, attempt.trial = attempt.trial, 0
            self._breaker.succeeded(attempt.index, trial=number)

    def fail(self, attempt: Attempt, ctx: RequestContext, failure: BaseException) -> None:
        """Judge an attempt that ended with a failure; it is still to be closed."""
        attempt.signal = of_failure(failure, ctx.lifeline.reason, attempt.signal)
        if isinstance(failure, NeverSent) and attempt.signal is Signal.FAILURE:
            self._board.suspect(attempt.index, self._clock.monotonic() + SUSPECT_SECS)

    def close(self, attempt: Attempt) -> None:
        """It is over: what it held is given back, and its signal is told."""
        attempt.reply.close()
        if attempt.signal is not _SUCCESS:
            if attempt.counted:
                self._board.end(attempt.index)
            self._tell(attempt)
        elif attempt.counted:
            self._board.answered(attempt.index)
            self._breaker.succeeded(attempt.index, trial=attempt.trial)
        else:
            self._breaker.succeeded_lightly(attempt.index)
        if attempt.seat is not None:  # whoever has it next looks at what was told
            attempt.seat.leave()

    def suspected(self, backend: Backend) -> bool:
        """Whether a connection to it failed a moment ago, in any worker."""
        return self._board.suspected_until(self._indexes[backend.name]) > self._clock.monotonic()

    def ordered(self, backends: Sequence[Backend]) -> Sequence[Backend]:
        """The same backends, those that stand aside behind the others."""
        now = self._clock.monotonic()
        self.aside = {name: until for name, until in self.aside.items() if until > now}
        return sorted(backends, key=lambda backend: backend.name in self.aside)

    def willing(self, backends: Sequence[Backend]) -> Sequence[Backend]:
        """Those that do not stand aside; all of them where there are no others."""
        if not self.aside:
            return backends
        now = self._clock.monotonic()
        return [backend for backend in backends if self.aside.get(backend.name, 0.0) <= now] or backends

    def alive(self, name: str, at: float) -> None:
        """A stream of that backend had a token at that moment."""
        self._board.alive(self._indexes[name], at)

    def _tell(self, attempt: Attempt) -> None:
        """Tell of anything but a success."""
        name, signal = attempt.backend.name, attempt.signal
        self._metrics.count(BACKEND_SIGNALS, name, signal.value)
        if signal is Signal.FAILURE:
            self._breaker.failed(attempt.index, trial=attempt.trial, light=not attempt.counted)
        elif signal is Signal.DRAINING:
            self._breaker.trip(attempt.index, trial=attempt.trial)
        elif attempt.trial:
            self._breaker.neutral(attempt.index, trial=attempt.trial)
        if signal is Signal.BACK_PRESSURE:
            self.aside[name] = self._clock.monotonic() + ASIDE_SECS
        if signal is not Signal.NEUTRAL:
            self.policy.failed(name)
