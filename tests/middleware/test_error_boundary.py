"""A request that went wrong ends with words where there is room for them, and never looks like a success."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import orjson
import pytest
import structlog
from structlog.testing import CapturingLogger

from gateway.core.asgi import Receive, Scope, Send
from gateway.core.context import CONTEXT_KEY, RequestContext
from gateway.core.endpoint import Endpoint
from gateway.core.errors import BadGatewayError, GatewayError, RateLimitedError
from gateway.core.lifeline import Cut
from gateway.core.refusal import Refusal
from gateway.core.worker import WorkerIdentity
from gateway.middleware import error_boundary
from gateway.middleware.error_boundary import ErrorBoundary
from gateway.middleware.request_scope import RequestScope, leave
from tests.core.hand_time import HandTime
from tests.core.requests import CHAT, MESSAGES, RESPONSES, FakeConnection, Told, nothing_to_receive, scope_of

pytestmark = pytest.mark.anyio

Work = Callable[[RequestContext, Send], Awaitable[None]]
TOLD = {
    Cut.BODY_STALLED: (408, "request_timeout"),
    Cut.LIFETIME: (504, "request_lifetime_exceeded"),
    Cut.FIRST_TOKEN: (504, "first_token_timeout"),
    Cut.IDLE: (504, "stream_idle_timeout"),
    Cut.SHUTDOWN: (503, "server_shutting_down"),
}
UNTOLD = [Cut.CLIENT_GONE, Cut.SLOW_CLIENT]


@dataclass
class Visit:
    """One request that passes the outermost two layers.

    Attributes:
        works: set when the work began; by then `ctx` is there.
    """

    told: Told = field(default_factory=Told)
    connection: FakeConnection = field(default_factory=FakeConnection)
    log: CapturingLogger = field(default_factory=CapturingLogger)
    works: asyncio.Event = field(default_factory=asyncio.Event)
    records: list[RequestContext] = field(default_factory=list)
    ctx: RequestContext | None = None

    async def run(self, work: Work, endpoint: Endpoint = CHAT, *, connected: bool = True) -> RequestContext:
        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            del receive
            self.ctx = scope[CONTEXT_KEY]
            self.works.set()
            await work(scope[CONTEXT_KEY], send)

        boundary = ErrorBoundary(app, structlog.wrap_logger(self.log, processors=[]))
        door = RequestScope(boundary, lambda *_: endpoint, self.records.append, HandTime(), WorkerIdentity())
        connection = self.connection if connected else None
        await door(scope_of(connection=connection), nothing_to_receive, self.told)
        (record,) = self.records
        return record

    async def cut(self, reason: Cut, work: Work, endpoint: Endpoint = CHAT) -> RequestContext:
        """Run the work and cut it while it waits."""
        task = asyncio.create_task(self.run(work, endpoint))
        await self.works.wait()
        assert self.ctx is not None
        self.ctx.lifeline.cut(reason)
        record = await task
        assert task.cancelling() == 0
        return record


async def for_ever(*_: object) -> None:
    await asyncio.get_running_loop().create_future()


def failing(error: Exception) -> Work:
    async def work(*_: object) -> None:
        raise error

    return work


async def begin(send: Send, *parts: bytes, end: bool = False) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    for number, part in enumerate(parts, 1):
        await send({"type": "http.response.body", "body": part, "more_body": not (end and number == len(parts))})


def after_beginning(then: Work, *, events: bool, end: bool = False) -> Work:
    """Work that goes wrong when a part of the answer is out already, or all of it."""

    async def work(ctx: RequestContext, send: Send) -> None:
        ctx.event_stream = events
        await begin(send, b"data: {}\n\n", end=end)
        await then(ctx, send)

    return work


def error_in(data: bytes) -> dict[str, Any]:
    error: dict[str, Any] = orjson.loads(data)["error"]
    return error


async def test_an_expected_failure_is_answered_with_its_status_and_fields() -> None:
    visit = Visit()
    error = RateLimitedError("Too many.", retry_after=0.5, headers=[(b"x-limit", b"1")])
    ctx = await visit.run(failing(error))
    told = visit.told
    assert (told.status, told.complete, ctx.outcome, ctx.status) == (429, True, "rate_limit_exceeded", 429)
    assert ctx.refusal is Refusal.RATE
    assert error_in(told.body) == {
        "message": "Too many.",
        "type": "rate_limit_error",
        "param": None,
        "code": "rate_limit_exceeded",
    }
    assert told.header(b"content-length") == b"%d" % len(told.body)
    assert told.header(b"retry-after-ms") == b"500"
    assert told.header(b"x-limit") == b"1"
    assert told.header(b"x-request-id") == ctx.request_id.encode()
    assert not visit.connection.aborted


async def test_a_bug_says_nothing_of_itself_to_the_client_and_all_to_the_log() -> None:
    visit = Visit()
    ctx = await visit.run(failing(ZeroDivisionError("sk-secret at http://chat0:8000")))
    assert visit.told.status == 500
    assert b"secret" not in visit.told.body
    assert b"chat0" not in visit.told.body
    assert b"ZeroDivision" not in visit.told.body
    (call,) = visit.log.calls
    assert call.kwargs["request_id"] == ctx.request_id
    assert ctx.outcome == "internal_error"


@pytest.mark.parametrize(("reason", "status", "code"), [(reason, *told) for reason, told in TOLD.items()])
async def test_a_cut_before_the_head_has_its_own_status_and_code(reason: Cut, status: int, code: str) -> None:
    visit = Visit()
    ctx = await visit.cut(reason, for_ever)
    assert (visit.told.status, error_in(visit.told.body)["code"], visit.told.complete) == (status, code, True)
    assert (ctx.outcome, visit.connection.aborted) == (reason, False)
    assert visit.told.header(b"x-should-retry") == (None if reason is Cut.BODY_STALLED else b"false")
    assert visit.told.header(b"connection") == (b"close" if reason is Cut.BODY_STALLED else None)


@pytest.mark.parametrize(("reason", "code"), [(reason, code) for reason, (_, code) in TOLD.items()])
async def test_a_cut_in_a_stream_is_its_last_event_and_the_connection_ends(reason: Cut, code: str) -> None:
    visit = Visit()
    ctx = await visit.cut(reason, after_beginning(for_ever, events=True))
    assert visit.told.parts[0] == b"data: {}\n\n"
    assert error_in(visit.told.parts[1].removeprefix(b"data: "))["code"] == code
    assert len(visit.told.parts) == 2
    assert not visit.told.complete
    assert visit.connection.aborted
    assert ctx.outcome == reason


@pytest.mark.parametrize("reason", UNTOLD)
@pytest.mark.parametrize("work", [for_ever, after_beginning(for_ever, events=True)], ids=["before", "in a stream"])
async def test_whoever_left_or_does_not_read_is_told_nothing(reason: Cut, work: Work) -> None:
    visit = Visit()
    ctx = await visit.cut(reason, work)
    assert len(visit.told.parts) == visit.told.status // 200
    assert visit.connection.aborted
    assert not visit.told.complete
    assert ctx.outcome == reason


@pytest.mark.parametrize(
    ("endpoint", "start"),
    [(CHAT, b'data: {"error"'), (MESSAGES, b"event: error\ndata: "), (RESPONSES, b"event: error")],
)
async def test_a_failure_in_a_stream_speaks_the_paths_dialect(endpoint: Endpoint, start: bytes) -> None:
    visit = Visit()
    await visit.run(after_beginning(failing(BadGatewayError("It broke.")), events=True), endpoint)
    assert visit.told.parts[1].startswith(start)
    assert not visit.told.complete
    assert visit.connection.aborted


async def test_a_failure_that_the_backend_told_is_not_told_again() -> None:
    async def work(ctx: RequestContext, _: Send) -> None:
        ctx.failure_told = True
        raise BadGatewayError("It broke.")

    visit = Visit()
    await visit.run(after_beginning(work, events=True))
    assert visit.told.parts == [b"data: {}\n\n"]
    assert visit.connection.aborted


async def test_a_body_that_is_no_stream_gets_no_event_and_stays_incomplete() -> None:
    visit = Visit()
    await visit.run(after_beginning(failing(BadGatewayError("It broke.")), events=False))
    assert visit.told.parts == [b"data: {}\n\n"]
    assert not visit.told.complete
    assert visit.connection.aborted


async def test_a_bug_in_a_stream_is_told_in_it() -> None:
    visit = Visit()
    await visit.run(after_beginning(failing(ZeroDivisionError()), events=True))
    assert error_in(visit.told.parts[1].removeprefix(b"data: "))["code"] == "internal_error"
    assert visit.connection.aborted


@pytest.mark.parametrize("events", [False, True])
async def test_a_server_that_lends_no_socket_gets_an_answer_without_an_end(*, events: bool) -> None:
    visit = Visit()
    await visit.run(after_beginning(failing(BadGatewayError("It broke.")), events=events), connected=False)
    assert len(visit.told.parts) == 1 + events
    assert not visit.told.complete


async def test_a_client_unknown_to_the_server_is_cut_without_a_word() -> None:
    async def work(ctx: RequestContext, _: Send) -> None:
        ctx.lifeline.cut(Cut.SLOW_CLIENT)
        await for_ever()

    visit = Visit()
    await visit.run(work, connected=False)
    assert visit.told.status == 0


@pytest.mark.parametrize("reason", [*TOLD, Cut.CLIENT_GONE])
async def test_a_cut_behind_the_answers_end_changes_nothing_for_the_client(reason: Cut) -> None:
    visit = Visit()
    ctx = await visit.cut(reason, after_beginning(for_ever, events=True, end=True))
    assert visit.told.parts == [b"data: {}\n\n"]
    assert (visit.told.complete, ctx.status, ctx.outcome) == (True, 200, "ok")


async def test_a_client_that_does_not_take_the_end_of_its_answer_is_recorded_as_slow_and_cut_off() -> None:
    visit = Visit()
    ctx = await visit.cut(Cut.SLOW_CLIENT, after_beginning(for_ever, events=False, end=True))
    assert ctx.outcome == "slow_client"
    assert visit.connection.dropped


@pytest.mark.parametrize("events", [False, True])
async def test_a_client_that_stopped_reading_is_not_waited_for(*, events: bool) -> None:
    visit = Visit()
    ctx = await visit.cut(Cut.SLOW_CLIENT, after_beginning(for_ever, events=events))
    assert ctx.outcome == "slow_client"
    assert visit.connection.dropped


async def test_a_failure_behind_the_answers_end_is_logged_and_not_said() -> None:
    visit = Visit()
    ctx = await visit.run(after_beginning(failing(ZeroDivisionError()), events=True, end=True))
    assert visit.told.parts == [b"data: {}\n\n"]
    assert len(visit.log.calls) == 1
    assert ctx.outcome == "internal_error"


@pytest.mark.parametrize("events", [False, True], ids=["before the head", "in a stream"])
async def test_a_client_that_leaves_during_the_farewell_ends_the_matter(*, events: bool) -> None:
    visit = Visit(told=Told(slow=asyncio.Event()))
    work = failing(BadGatewayError("It broke."))

    async def begun(ctx: RequestContext, send: Send) -> None:
        ctx.event_stream = True
        await send({"type": "http.response.start", "status": 200, "headers": []})
        visit.told.sending.clear()
        await work(ctx, send)

    task = asyncio.create_task(visit.run(begun if events else work))
    await visit.works.wait()
    while not visit.told.parts:
        visit.told.sending.clear()
        await visit.told.sending.wait()
    visit.connection.leave()
    ctx = await task
    assert task.cancelling() == 0
    assert ctx.outcome == "bad_gateway"
    assert ctx.status == (200 if events else 502)


async def test_a_cut_during_the_farewell_of_a_stream_still_closes_the_connection() -> None:
    visit = Visit(told=Told(slow=asyncio.Event()))

    async def work(ctx: RequestContext, send: Send) -> None:
        ctx.event_stream = True
        await send({"type": "http.response.start", "status": 200, "headers": []})
        raise BadGatewayError("It broke.")

    task = asyncio.create_task(visit.run(work))
    await visit.works.wait()
    while not visit.told.parts:
        visit.told.sending.clear()
        await visit.told.sending.wait()
    assert visit.ctx is not None
    visit.ctx.lifeline.cut(Cut.SHUTDOWN)
    await task
    assert visit.connection.aborted


@pytest.mark.parametrize("events", [False, True], ids=["before the head", "in a stream"])
async def test_a_client_that_does_not_take_the_farewell_does_not_hold_the_request(
    monkeypatch: pytest.MonkeyPatch, *, events: bool
) -> None:
    monkeypatch.setattr(error_boundary, "FAREWELL_SECS", 0.01)
    visit = Visit(told=Told(slow=asyncio.Event()))

    async def work(ctx: RequestContext, send: Send) -> None:
        ctx.event_stream = events
        if events:
            await send({"type": "http.response.start", "status": 200, "headers": []})
        raise BadGatewayError("It broke.")

    ctx = await asyncio.wait_for(visit.run(work), 30)
    assert visit.connection.aborted
    assert ctx.outcome == "bad_gateway"


async def test_a_cancellation_that_is_not_ours_goes_on() -> None:
    visit = Visit()
    task = asyncio.create_task(visit.run(for_ever))
    await visit.works.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert visit.told.status == 0
    assert visit.records[0].outcome == "incomplete"


async def test_a_cancellation_that_is_not_ours_ends_a_farewell() -> None:
    visit = Visit(told=Told(slow=asyncio.Event()))
    task = asyncio.create_task(visit.run(failing(BadGatewayError("It broke."))))
    await visit.works.wait()
    await visit.told.sending.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert visit.records[0].outcome == "bad_gateway"


async def test_a_departure_beside_another_cut_is_noted_and_the_first_reason_stays() -> None:
    async def work(ctx: RequestContext, _: Send) -> None:
        ctx.lifeline.cut(Cut.LIFETIME)
        leave(ctx)
        await for_ever()

    visit = Visit()
    ctx = await visit.run(work)
    assert (ctx.outcome, ctx.disconnect_phase) == ("lifetime", "arrived")


async def test_a_send_that_fails_is_told_nothing_twice() -> None:
    class Broken(Told):
        async def __call__(self, message: Any) -> None:
            await super().__call__(message)
            if message["type"] == "http.response.body":
                raise RuntimeError("the body is not as long as it says")

    async def work(_: RequestContext, send: Send) -> None:
        await begin(send, b"x")

    visit = Visit(told=Broken())
    ctx = await visit.run(work)
    assert visit.told.parts == [b"x"]
    assert visit.connection.aborted
    assert ctx.outcome == "internal_error"


async def test_a_failures_word_for_the_records_may_differ_from_its_code() -> None:
    class StatedError(GatewayError):
        code = "whatever the backend says"
        outcome = "backend_418"

    visit = Visit()
    ctx = await visit.run(failing(StatedError("x")))
    assert ctx.outcome == "backend_418"
