"""Backends without sockets: replies that come as a test says, a wire that is scripted, and what is known of them."""

import asyncio
from collections import Counter, defaultdict
from collections.abc import Sequence

from gateway.backends.availability import Availability, Choice
from gateway.backends.board import Board
from gateway.backends.breaker import Breaker
from gateway.backends.breaker_settings import BreakerSettings
from gateway.backends.circuit import Why
from gateway.core.asgi import Headers, first_of
from gateway.core.clock import Clock
from gateway.core.context import Phase
from gateway.core.endpoint import ModelKind
from gateway.core.fleet import Backend, BackendGroup
from gateway.payload.peek import Peek
from gateway.proxy.attempts import Attempts
from gateway.proxy.counters import Counters
from gateway.proxy.dispatcher import Addresses, Dispatcher, Wire
from gateway.proxy.planner import Plan
from gateway.proxy.retry import RetryBudget
from gateway.proxy.search import Searcher
from gateway.proxy.seats import SeatLimits, Seats
from gateway.routing.registry import Route
from gateway.store.protocol import LimiterStore
from gateway.upstream.address import Address
from gateway.upstream.protocol import Take, UpstreamRequest
from tests.core.hand_time import HandTime
from tests.observability.noted import CountedMetrics

JSON_FIELD = (b"content-type", b"application/json")
EVENTS_FIELD = (b"content-type", b"text/event-stream; charset=utf-8")
BACKENDS = tuple(Backend(f"chat{number}", f"http://chat{number}:8000") for number in range(3))
GROUP = BackendGroup("chat", ModelKind.CHAT, "qwen", ("Qwen/Qwen2.5-7B-Instruct",), BACKENDS)
ADDRESSES = {backend.name: Address.parse(backend.url) for backend in BACKENDS}
BY_URL = Addresses({backend.url: ADDRESSES[backend.name] for backend in BACKENDS})


class FakeReply:
    """A reply whose body comes piece by piece.

    Attributes:
        pieces: what each `read` gives: bytes, or a failure to raise; behind the last one comes the clean end.
        hangs: behind the last piece nothing comes at all.
        closed: how often it was closed.
        waits: set when somebody waits for what never comes.
    """

    def __init__(
        self,
        *pieces: bytes | Exception,
        status: int = 200,
        headers: Sequence[tuple[bytes, bytes]] = (JSON_FIELD,),
        content_length: int | None = None,
        hangs: bool = False,
    ) -> None:
        self.pieces = list(pieces)
        self.status = status
        self.headers: Headers = list(headers)
        self.content_type = first_of(self.headers, b"content-type")
        self.content_length = content_length
        self.hangs = hangs
        self.closed = 0
        self.discarded = False
        self.reads = 0
        self.waits = asyncio.Event()

    @property
    def complete(self) -> bool:
        return not self.pieces and not self.hangs

    async def read(self) -> bytes:
        assert not self.closed, "read from a closed reply"
        self.reads += 1
        if self.pieces:
            piece = self.pieces.pop(0)
            if isinstance(piece, Exception):
                raise piece
            return piece
        if self.hangs:
            self.waits.set()
            await asyncio.get_running_loop().create_future()
        return b""

    async def pour(self, take: Take) -> None:
        while data := await self.read():
            if not take(data):
                return

    def close(self) -> None:
        self.closed += 1

    def discard(self) -> None:
        self.discarded = True


def whole(body: bytes, status: int = 200, headers: Sequence[tuple[bytes, bytes]] = (JSON_FIELD,)) -> FakeReply:
    """A reply of stated length, all of it there."""
    return FakeReply(body, status=status, headers=headers, content_length=len(body))


def events(*pieces: bytes | Exception, hangs: bool = False) -> FakeReply:
    """A stream."""
    return FakeReply(*pieces, headers=(EVENTS_FIELD,), hangs=hangs)


class ScriptedClient:
    """An `UpstreamClient` whose backends answer by turns; what is not in the script is never answered.

    Attributes:
        asked: the backend and the request of every exchange, in order.
    """

    def __init__(self, **script: list[FakeReply | Exception]) -> None:
        self._script = script
        self.asked: list[tuple[str, UpstreamRequest]] = []
        self.waits = asyncio.Event()

    @property
    def order(self) -> list[str]:
        return [name for name, _ in self.asked]

    async def send(self, address: Address, request: UpstreamRequest) -> FakeReply:
        name = next(name for name, known in ADDRESSES.items() if known == address)
        self.asked.append((name, request))
        outcomes = self._script.get(name)
        if not outcomes:
            self.waits.set()
            await asyncio.get_running_loop().create_future()
            raise AssertionError
        outcome = outcomes.pop(0)
        if isinstance(outcome, Exception):
            raise outcome
        if request.progress is not None:
            request.progress.phase = Phase.WAITING
        return outcome

    async def aclose(self) -> None: ...


def plan_of(asked: str = "qwen", **peeked: object) -> Plan:
    """A plan for the group; `asked` is the name that the client used."""
    return Plan(Route(GROUP, asked), b'{"model":"qwen"}', Peek(**peeked))  # type: ignore[arg-type]  # its own fields


class CountedBoard(Board):
    """A board of one process, with what it is told of in plain sight.

    Attributes:
        running: requests at each backend, by index.
        tokens: when a stream of each last had a token.
    """

    def __init__(self) -> None:
        super().__init__(BACKENDS)
        self.running = [0] * len(BACKENDS)
        self.tokens = [0.0] * len(BACKENDS)

    @property
    def suspected(self) -> list[float]:
        """Until when each is suspected."""
        return [self.suspected_until(index) for index in range(len(BACKENDS))]

    def begin(self, index: int) -> None:
        super().begin(index)
        self.running[index] += 1

    def end(self, index: int) -> None:
        super().end(index)
        self._one_less(index)

    def answered(self, index: int) -> None:
        super().answered(index)
        self._one_less(index)

    def alive(self, index: int, at: float) -> None:
        super().alive(index, at)
        self.tokens[index] = at

    def _one_less(self, index: int) -> None:
        self.running[index] -= 1
        assert self.running[index] >= 0, "ended twice"


TRIAL = 7
"""The number of the one trial of a `NotingBreaker`."""


class NotingBreaker(Breaker):
    """Writes down what it is told, as `chat0 failed`; a trial is there to be taken once it is given back.

    Attributes:
        told: what it was told, in order.
        trial_taken: whether somebody has the one trial.
    """

    def __init__(self, board: Board, clock: Clock) -> None:
        super().__init__(board, BreakerSettings(), clock)
        self.told: list[str] = []
        self.trial_taken = False

    def take_trial(self, index: int) -> int:
        del index
        if self.trial_taken:
            return 0
        self.trial_taken = True
        return TRIAL

    def succeeded(self, index: int, *, trial: int = 0) -> None:
        self._note(index, "succeeded", trial=trial)

    def succeeded_lightly(self, index: int) -> None:
        self._note(index, "succeeded lightly", trial=0)

    def failed(self, index: int, *, trial: int = 0, light: bool = False) -> None:
        self._note(index, "failed lightly" if light else "failed", trial=trial)

    def neutral(self, index: int, *, trial: int = 0) -> None:
        self._note(index, "neutral", trial=trial)

    def trip(self, index: int, why: Why = Why.DRAINING, *, trial: int = 0) -> None:
        assert why is Why.DRAINING
        self._note(index, "tripped", trial=trial)

    def _note(self, index: int, word: str, *, trial: int) -> None:
        if trial:
            assert (trial, self.trial_taken) == (TRIAL, True), "a trial that nobody took"
            self.trial_taken = False
        self.told.append(f"{BACKENDS[index].name} {word}{' on trial' if trial else ''}")


class StatedAvailability(Availability):
    """Says of every group what a test put there.

    Attributes:
        choices: by the group's name; by default all of its backends.
    """

    def __init__(self, board: Board, breaker: Breaker, clock: Clock) -> None:
        super().__init__(board, breaker, clock, interval=10.0)
        self.choices: dict[str, Choice] = {}

    def of(self, group: BackendGroup) -> Choice:
        return self.choices.get(group.name) or Choice(group.backends)


class InOrder:
    """The policy that takes backends as they come, from one on.

    Attributes:
        first: with whom it begins.
        failures: whose failures it was told of.
    """

    def __init__(self, first: int = 0) -> None:
        self.first = first
        self.failures: list[str] = []

    async def order(self, group: str, backends: Sequence[Backend]) -> Sequence[Backend]:
        assert group
        assert len(backends) > 1, "nobody to take turns with"
        return (*backends[self.first :], *backends[: self.first])

    def failed(self, backend: str) -> None:
        self.failures.append(backend)


class Conductor:
    """A dispatcher and all that it works with, over the backends of `ADDRESSES`, chat0 first.

    Args:
        script: what each backend answers.
        first: whose turn it is.
        store: gives seats, where a limit is set.
        limits: of seats.
    """

    def __init__(
        self,
        script: dict[str, list[FakeReply | Exception]],
        *,
        first: int = 0,
        store: LimiterStore | None = None,
        limits: SeatLimits | None = None,
        time: HandTime | None = None,
    ) -> None:
        self.time = time or HandTime()
        self.client = ScriptedClient(**script)
        self.metrics = CountedMetrics()
        self.waiting: Counter[str] = Counter()
        self.board = CountedBoard()
        self.breaker = NotingBreaker(self.board, self.time)
        self.availability = StatedAvailability(self.board, self.breaker, self.time)
        self.policy = InOrder(first)
        self.budgets = defaultdict[str, RetryBudget](lambda: Budget(self.time))
        self.budgets["chat"] = self.budget = Budget(self.time)
        self.attempts = Attempts(self.board, self.breaker, self.policy, self.metrics, self.time)
        seats = None
        if store is not None and limits is not None:
            seats = Seats(Counters(store, lambda _: True), limits, self.time, self.waiting)
        self.searcher = Searcher(self.attempts, self.budgets, self.availability, seats, self.metrics)
        self.dispatcher = Dispatcher(
            Wire(self.client, BY_URL, "INTERNAL"),
            self.policy,
            self.availability,
            self.attempts,
            self.searcher,
        )

    @property
    def idle(self) -> bool:
        """Nothing runs anywhere, and nobody has a trial."""
        return not any(self.board.running) and not self.breaker.trial_taken


class Budget(RetryBudget):
    """A retry budget whose pauses take no time.

    Attributes:
        pauses: how many there were.
    """

    pauses = 0

    async def pause(self) -> None:
        self.pauses += 1
