"""A request begins with an id and a watcher, and ends with one record, whatever happens in between."""

import asyncio
from dataclasses import dataclass, field

import pytest

from gateway.api.endpoints import find
from gateway.core.asgi import ASGIApp, Receive, Scope, Send
from gateway.core.context import CONTEXT_KEY, Phase, RequestContext
from gateway.core.lifeline import Cut
from gateway.core.worker import Drain, WorkerIdentity
from gateway.middleware.request_scope import UNKNOWN, RequestScope
from tests.core.hand_time import HandTime
from tests.core.requests import FakeConnection, Told, nothing_to_receive, scope_of

pytestmark = pytest.mark.anyio


@dataclass
class Book:
    """What was recorded, as it stood at that moment."""

    records: list[RequestContext] = field(default_factory=list)

    def __call__(self, ctx: RequestContext) -> None:
        self.records.append(ctx)

    @property
    def only(self) -> RequestContext:
        (record,) = self.records
        return record


@pytest.fixture
def book() -> Book:
    return Book()


def scoped(app: ASGIApp, book: Book, drain: Drain | None = None) -> RequestScope:
    return RequestScope(app, find, book, HandTime(), WorkerIdentity(drain=drain or Drain()))


async def answer(scope: Scope, receive: Receive, send: Send) -> None:
    del scope, receive
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]})
    await send({"type": "http.response.body", "body": b"he", "more_body": True})
    await send({"type": "http.response.body", "body": b"llo"})


@dataclass
class Waiting:
    """An application that waits for ever, after its head when it is to begin; `mends` makes it end a cut quietly."""

    begins: bool = False
    mends: bool = True
    phase: Phase = Phase.QUEUED
    waits: asyncio.Event = field(default_factory=asyncio.Event)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        del receive
        ctx: RequestContext = scope[CONTEXT_KEY]
        ctx.phase = self.phase
        if self.begins:
            await send({"type": "http.response.start", "status": 200, "headers": []})
        self.waits.set()
        try:
            await asyncio.get_running_loop().create_future()
        except asyncio.CancelledError:
            if not (self.mends and ctx.lifeline.mended()):
                raise


async def test_an_answer_carries_the_id_and_is_recorded_once(book: Book) -> None:
    told, connection = Told(), FakeConnection()
    await scoped(answer, book)(scope_of(connection=connection), nothing_to_receive, told)
    ctx = book.only
    assert (ctx.status, ctx.outcome, ctx.bytes_out, ctx.phase) == (200, "ok", 5, Phase.DONE)
    assert told.header(b"x-request-id") == ctx.request_id.encode()
    assert told.header(b"content-type") == b"text/plain"
    assert (ctx.peer, ctx.started, ctx.disconnect_phase) == ("203.0.113.7", 1000.0, None)


async def test_no_id_is_given_twice_by_any_worker(book: Book) -> None:
    scopes = [scoped(answer, book) for _ in range(4)]
    for one in scopes * 50:
        await one(scope_of(), nothing_to_receive, Told())
    ids = {record.request_id for record in book.records}
    assert len(ids) == 200
    assert {name.partition("-")[2] for name in ids} == {str(number) for number in range(1, 51)}


@pytest.mark.parametrize("own", [b"abc-1.2_3:Z", b"x" * 128])
async def test_a_clients_valid_id_is_noted_and_never_used(book: Book, own: bytes) -> None:
    told = Told()
    await scoped(answer, book)(scope_of(headers=[(b"accept", b"*"), (b"x-request-id", own)]), nothing_to_receive, told)
    assert book.only.client_request_id == own.decode()
    assert told.header(b"x-request-id") == book.only.request_id.encode() != own


@pytest.mark.parametrize("own", [b"", b"x" * 129, b"a b", b"a\x1b[31m", b'"', "ä".encode(), b"a\n"])
async def test_a_clients_id_that_could_forge_a_line_is_ignored(book: Book, own: bytes) -> None:
    await scoped(answer, book)(scope_of(headers=[(b"x-request-id", own)]), nothing_to_receive, Told())
    assert book.only.client_request_id is None


async def test_a_path_on_no_list_has_no_row(book: Book) -> None:
    await scoped(answer, book)(scope_of("/pause"), nothing_to_receive, Told())
    assert book.only.endpoint is UNKNOWN
    assert (book.only.path, UNKNOWN.relayed) == ("/pause", False)


async def test_a_request_without_a_known_peer_or_socket_passes(book: Book) -> None:
    scope = scope_of()
    scope["client"] = None
    del scope["extensions"]
    await scoped(answer, book)(scope, nothing_to_receive, Told())
    assert (book.only.peer, book.only.connection) == ("", None)


@pytest.mark.parametrize(("begins", "status"), [(False, 499), (True, 200)])
async def test_a_client_that_leaves_is_recorded_with_the_phase_it_left_in(
    book: Book, *, begins: bool, status: int
) -> None:
    app, connection = Waiting(begins, phase=Phase.WAITING), FakeConnection()
    task = asyncio.create_task(scoped(app, book)(scope_of(connection=connection), nothing_to_receive, Told()))
    await app.waits.wait()
    connection.leave()
    await task
    ctx = book.only
    assert (ctx.status, ctx.outcome, ctx.disconnect_phase) == (status, "client_gone", Phase.WAITING)
    assert ctx.phase is Phase.WAITING


async def test_a_client_that_was_shut_out_as_it_took_nothing_did_not_leave(book: Book) -> None:
    app, connection = Waiting(begins=True, phase=Phase.ANSWERING), FakeConnection()
    task = asyncio.create_task(scoped(app, book)(scope_of(connection=connection), nothing_to_receive, Told()))
    await app.waits.wait()
    connection.slow = True
    connection.leave()
    await task
    assert (book.only.outcome, book.only.disconnect_phase) == ("slow_client", None)


async def test_a_request_that_is_over_is_watched_no_more(book: Book) -> None:
    connection = FakeConnection()
    await scoped(answer, book)(scope_of(connection=connection), nothing_to_receive, Told())
    assert connection.on_gone is None
    book.only.lifeline.cut(Cut.CLIENT_GONE)
    assert book.only.lifeline.reason is None


@pytest.mark.parametrize("begins", [False, True])
async def test_a_cancellation_from_outside_passes_and_is_never_recorded_as_a_success(
    book: Book, *, begins: bool
) -> None:
    app, connection = Waiting(begins), FakeConnection()
    task = asyncio.create_task(scoped(app, book)(scope_of(connection=connection), nothing_to_receive, Told()))
    await app.waits.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (book.only.outcome, connection.on_gone) == ("incomplete", None)


async def test_an_application_that_forgets_to_answer_is_never_recorded_as_a_success(book: Book) -> None:
    async def silent(*_: object) -> None: ...

    await scoped(silent, book)(scope_of(), nothing_to_receive, Told())
    assert book.only.outcome == "incomplete"


async def test_a_failing_application_is_recorded_once_and_its_failure_goes_on(book: Book) -> None:
    async def failing(*_: object) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await scoped(failing, book)(scope_of(), nothing_to_receive, Told())
    assert book.only.outcome == "incomplete"


async def test_a_send_that_fails_is_recorded_once_and_never_as_a_success(book: Book) -> None:
    async def broken(_: object) -> None:
        raise BrokenPipeError

    with pytest.raises(BrokenPipeError):
        await scoped(answer, book)(scope_of(), nothing_to_receive, broken)
    assert book.only.outcome == "incomplete"


async def test_the_end_of_the_drain_cuts_what_still_runs_and_nothing_else(book: Book) -> None:
    drain, app = Drain(), Waiting()
    door = scoped(app, book, drain)
    tasks = [asyncio.create_task(door(scope_of(), nothing_to_receive, Told())) for _ in range(3)]
    await app.waits.wait()
    drain.end()
    await asyncio.gather(*tasks)
    assert [record.outcome for record in book.records] == ["shutdown"] * 3
    assert not door._live


async def test_an_outcome_that_was_told_stays(book: Book) -> None:
    async def refusing(scope: Scope, receive: Receive, send: Send) -> None:
        scope[CONTEXT_KEY].outcome = "rate_limit_exceeded"
        await answer(scope, receive, send)

    await scoped(refusing, book)(scope_of(), nothing_to_receive, Told())
    assert book.only.outcome == "rate_limit_exceeded"
