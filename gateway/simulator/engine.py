"""Who runs, who waits, and when does the next token come? The engine behind every endpoint, without a GPU.

Each sequence is driven by one timer of the event loop, not by a task: a hundred streams cost a hundred timers. Like
vLLM's scheduler it runs at most `max_num_seqs` sequences and lets the rest wait in order of arrival (or of priority).
"""

import asyncio
import heapq
import random
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass, field
from functools import partial
from typing import Literal, Protocol

from gateway.simulator.errors import Refusal, busy, draining, engine_dead
from gateway.simulator.pace import Pace
from gateway.simulator.plan import Plan

ONLY_AT_THE_END = 0
"""The interval of a request that is not streamed: no output before the last."""


@dataclass(frozen=True, slots=True)
class Orders:
    """What a fault wants of one request. Counts are tokens of each sequence; None is never.

    Args:
        freeze_after: no token comes after this many, and the sequence goes on occupying its place.
        abort_after: the engine gives up after this many, with `finish_reason: "abort"`.
        fail_after: the engine reports an error after this many.
        token_seconds: this long from one token to the next, whatever the pace.
        comments_every: while nothing comes, an SSE comment is sent at this interval in seconds.
    """

    freeze_after: int | None = None
    abort_after: int | None = None
    fail_after: int | None = None
    token_seconds: float | None = None
    comments_every: float | None = None


NO_ORDERS = Orders()


@dataclass(slots=True)
class Output:
    """What one sequence made since it was last looked at."""

    index: int
    pieces: list[str] = field(default_factory=list)
    finish: str | None = None
    stop_reason: str | int | None = None

    @property
    def text(self) -> str:
        """The new text."""
        return "".join(self.pieces)


@dataclass(slots=True, eq=False)
class Sequence:
    """One answer in the making; times are the event loop's."""

    plan: Plan
    prompt_tokens: int
    outbox: "Outbox"
    index: int = 0
    priority: int = 0
    interval: int = 1
    orders: Orders = NO_ORDERS
    state: Literal["waiting", "running", "over"] = "waiting"
    made: int = 0
    unsent: list[str] = field(default_factory=list)
    due: float = 0.0
    timer: asyncio.Handle | None = None
    arrived: float = 0.0
    started: float = 0.0
    first_token: float = 0.0
    last_token: float = 0.0


class Outbox:
    """What a request's sequences made and its endpoint has not read yet: a slow reader gets several tokens at once."""

    def __init__(self, sequences: int) -> None:
        self._open = sequences
        self._ready: dict[int, Output] = {}
        self._failure: Exception | None = None
        self._wake: asyncio.Future[bool] | None = None

    def put(self, sequence: Sequence, finish: str | None = None) -> None:
        """Take over the sequence's unsent tokens, and its end if it has one."""
        output = self._ready.setdefault(sequence.index, Output(sequence.index))
        output.pieces += sequence.unsent
        sequence.unsent = []
        if finish is not None:
            output.finish = finish
            output.stop_reason = sequence.plan.stop_reason if finish == sequence.plan.finish else None
            self._open -= 1
        self._notify()

    def fail(self, failure: Exception) -> None:
        """End the request with an error."""
        self._failure = failure
        self._notify()

    async def outputs(self, comment_every: float = 0.0) -> AsyncIterator[Output | None]:
        """Each output as it comes, until all sequences are over; None where nothing came for `comment_every` seconds.

        Raises:
            Refusal: the engine failed; what was made before has been given out.
        """
        while True:
            while self._ready:
                yield self._ready.pop(next(iter(self._ready)))
            if self._failure is not None:
                raise self._failure
            if self._open <= 0:
                return
            if not await self._something(comment_every):
                yield None

    def _notify(self, *, something: bool = True) -> None:
        if self._wake is not None and not self._wake.done():
            self._wake.set_result(something)

    async def _something(self, at_most: float) -> bool:
        """Wait for an output; False when none came in time (0 waits for ever)."""
        loop = asyncio.get_running_loop()
        self._wake = loop.create_future()
        timer = loop.call_later(at_most, partial(self._notify, something=False)) if at_most > 0 else None
        try:
            return await self._wake
        finally:
            if timer is not None:
                timer.cancel()


class Meter(Protocol):
    """Who counts what the engine does."""

    def token(self, sequence: Sequence, now: float) -> None:
        """A token was made; `sequence.last_token` is still the one before it."""

    def over(self, sequence: Sequence, reason: str, now: float) -> None:
        """A sequence ended by itself: `stop`, `length` or `abort`."""

    def rejected(self) -> None:
        """The queue cap turned a request away."""


class Engine:
    """The scheduler.

    Args:
        pace: how fast tokens come; may be changed at any time.
        max_num_seqs: how many sequences run at once.
        max_queued: the cap on unfinished sequences, running ones included; None is no cap.
        by_priority: lower priorities first, instead of order of arrival alone.
        seed: of the noise on the pace.
    """

    def __init__(
        self, meter: Meter, *, pace: Pace, max_num_seqs: int, max_queued: int | None, by_priority: bool, seed: int
    ) -> None:
        self.pace = pace
        self.dead = False
        self.draining = False
        self.running: set[Sequence] = set()
        self._meter = meter
        self._max_num_seqs = max_num_seqs
        self._max_queued = max_queued
        self._by_priority = by_priority
        self._waiting: list[tuple[int, int, Sequence]] = []
        self._waiting_count = 0
        self._arrivals = 0
        self._noise = random.Random(seed)  # noqa: S311 -- noise on a pace, not a secret
        self._last_report: tuple[int, int] | None = None
        self._frozen: list[Sequence] = []
        self._idle: asyncio.Future[None] | None = None

    @property
    def waiting(self) -> int:
        """How many sequences wait for a place."""
        return self._waiting_count

    @property
    def _stopped(self) -> bool:
        return self._last_report is not None

    @property
    def report(self) -> tuple[int, int]:
        """How many run and wait, as /metrics knows it: the engine's last word, which stands while it stands still."""
        return self._last_report or (len(self.running), self.waiting)

    @property
    def unfinished(self) -> int:
        """Waiting and running together."""
        return len(self.running) + self._waiting_count

    def check_admission(self, sequences: int) -> None:
        """Say no before an answer is begun.

        Raises:
            Refusal: 503 over the queue cap, 500 when the engine is dead.
        """
        if self.dead:
            raise engine_dead()
        if self._max_queued is not None and self.unfinished + sequences > self._max_queued:
            self._meter.rejected()
            raise busy()

    def submit(self, sequences: Iterable[Sequence]) -> None:
        """Take sequences in; they run as soon as there is a place.

        Raises:
            Refusal: 500 while the server drains, or when the engine is dead.
        """
        if self.dead:
            raise engine_dead()
        if self.draining:
            raise draining()
        now = asyncio.get_running_loop().time()
        for sequence in sequences:
            sequence.arrived = now
            self._arrivals += 1
            rank = sequence.priority if self._by_priority else 0
            heapq.heappush(self._waiting, (rank, self._arrivals, sequence))
            self._waiting_count += 1
        self._fill()

    def abort(self, sequences: Iterable[Sequence]) -> None:
        """Forget sequences whose client has gone; nothing is sent and nothing counted as a success."""
        for sequence in sequences:
            self._drop(sequence)
        self._fill()

    def finish_all(self, reason: str) -> None:
        """End every sequence now with this finish reason: what a server does that stops without draining."""
        for sequence in self._all():
            self._drop(sequence)
            self._meter.over(sequence, reason, asyncio.get_running_loop().time())
            sequence.outbox.put(sequence, reason)

    def kill(self, failure: Refusal | None = None) -> None:
        """The engine process is gone: its requests fail with this error, or, without one, hang for ever."""
        self.dead = failure is not None
        self.stop()
        if failure is not None:
            self._last_report = (0, 0)
            for sequence in self._all():
                self._drop(sequence)
                sequence.outbox.fail(failure)

    def stop(self) -> None:
        """Make no more tokens until `resume`: an engine that hangs, while the HTTP server goes on answering.

        In vLLM the gauges come with the engine's outputs, so that they do not move either, whoever comes or leaves.
        """
        self._last_report = self.report

    def resume(self) -> None:
        """Go on where `stop` struck."""
        self._last_report = None
        frozen, self._frozen = self._frozen, []
        for sequence in frozen:
            if sequence.state == "running":
                self._schedule(sequence, 0.0)
        self._fill()

    async def idle(self) -> None:
        """Return when nothing runs or waits any more."""
        while self.unfinished:
            self._idle = asyncio.get_running_loop().create_future()
            await self._idle

    def _all(self) -> list[Sequence]:
        waiting = [sequence for _, _, sequence in sorted(self._waiting) if sequence.state == "waiting"]
        return [*self.running, *waiting]

    def _drop(self, sequence: Sequence) -> None:
        if sequence.timer is not None:
            sequence.timer.cancel()
        if sequence.state == "waiting":
            self._waiting_count -= 1
        self.running.discard(sequence)
        sequence.state = "over"
        if not self.unfinished and self._idle is not None and not self._idle.done():
            self._idle.set_result(None)

    def _fill(self) -> None:
        while self._waiting and len(self.running) < self._max_num_seqs and not self._stopped:
            sequence = heapq.heappop(self._waiting)[2]
            if sequence.state != "waiting":
                continue
            self._waiting_count -= 1
            sequence.state = "running"
            self.running.add(sequence)
            sequence.started = sequence.due = asyncio.get_running_loop().time()
            self._schedule(sequence, self.pace.to_first(sequence.prompt_tokens, self._noise))

    def _schedule(self, sequence: Sequence, delay: float) -> None:
        loop = asyncio.get_running_loop()
        if sequence.orders.freeze_after is not None and sequence.made >= sequence.orders.freeze_after:
            return
        sequence.due = max(sequence.due + delay, loop.time())
        if delay <= 0:
            sequence.timer = loop.call_soon(self._step, sequence)
        else:
            sequence.timer = loop.call_at(sequence.due, self._step, sequence)

    def _step(self, sequence: Sequence) -> None:
        """Make one token, or end the sequence."""
        if self._stopped:
            self._frozen.append(sequence)
            return
        now = asyncio.get_running_loop().time()
        if self._ordered_to_end(sequence, now):
            return
        if sequence.made < len(sequence.plan.pieces):
            self._meter.token(sequence, now)
            sequence.unsent.append(sequence.plan.pieces[sequence.made])
            sequence.made += 1
            sequence.last_token = now
        if sequence.made >= len(sequence.plan.pieces):
            self._end(sequence, sequence.plan.finish, now)
            return
        if sequence.interval != ONLY_AT_THE_END and (sequence.made == 1 or len(sequence.unsent) >= sequence.interval):
            sequence.outbox.put(sequence)
        slow = sequence.orders.token_seconds
        self._schedule(sequence, self.pace.to_next(self._noise) if slow is None else slow)

    def _ordered_to_end(self, sequence: Sequence, now: float) -> bool:
        """Let a fault's order end the sequence, if it has come to that."""
        orders = sequence.orders
        if orders.abort_after is not None and sequence.made >= orders.abort_after:
            self._end(sequence, "abort", now)
            return True
        if orders.fail_after is not None and sequence.made >= orders.fail_after:
            self.abort([sequence])
            sequence.outbox.put(sequence)
            sequence.outbox.fail(engine_dead())
            return True
        return False

    def _end(self, sequence: Sequence, reason: str, now: float) -> None:
        self._drop(sequence)
        self._meter.over(sequence, reason, now)
        sequence.outbox.put(sequence, reason)
        self._fill()
