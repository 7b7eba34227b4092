"""The rows of `server.state.State`: how a connection comes into each, and what becomes of the bytes that follow."""

import asyncio
from collections.abc import Callable

import pytest

from gateway.core.asgi import Receive, Scope, Send
from gateway.server.state import State
from gateway.server.usual import UsualRequests
from tests.server.door import connection_of, read_body, reply, request, turns
from tests.server.visit import Visit

pytestmark = pytest.mark.anyio

NEXT = request(path="/next", body=b"next")
BEGUN = request(path="/first", body=b"body")


class Waiting(Visit):
    """Its first answer waits to be allowed, and the client may be one that takes nothing."""

    def __post_init__(self) -> None:
        self.allowed = asyncio.Event()
        self.untaken = 0
        self.wire.get_write_buffer_size = lambda: self.untaken  # type: ignore[method-assign]  # a slot of this client's
        super().__post_init__()

    async def app(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.scopes.append(scope)
        self.bodies.append(await read_body(receive))
        if scope["path"] == "/first":
            await self.allowed.wait()
        await reply(send, self.bodies[-1])

    def doing(self) -> State:
        return self.protocol.state

    @property
    def paths(self) -> list[str]:
        return [scope["path"] for scope in self.scopes]

    async def become(self, state: State) -> None:
        """Come into a state from the beginning."""
        match state:
            case State.HEAD:
                await self.send(BEGUN[:10])
            case State.BODY:
                await self.send(BEGUN[:-2])
            case State.ANSWERING:
                await self.send(BEGUN)
            case State.UNTAKEN:
                await self.send(BEGUN)
                self.untaken = 5
                self.protocol.pause_writing()
                self.allowed.set()
                await turns()
            case State.DEAF:
                await self.send(b"no HTTP\r\n\r\n")
        assert self.doing() is state


async def visiting(state: State) -> Waiting:
    visit = Waiting(UsualRequests(65536))
    await visit.become(state)
    return visit


async def test_idle_takes_the_beginning_of_a_head() -> None:
    visit = await visiting(State.IDLE)
    await visit.send(NEXT[:5])
    assert visit.doing() is State.HEAD
    await visit.send(NEXT[5:])
    assert (visit.paths, visit.bodies, visit.doing()) == (["/next"], [b"next"], State.IDLE)


async def test_a_head_takes_more_of_itself() -> None:
    visit = await visiting(State.HEAD)
    await visit.send(BEGUN[10:20])
    assert visit.doing() is State.HEAD
    await visit.send(BEGUN[20:])
    assert (visit.paths, visit.doing()) == (["/first"], State.ANSWERING)


async def test_a_body_takes_more_of_itself() -> None:
    visit = await visiting(State.BODY)
    await visit.send(BEGUN[-2:-1])
    assert visit.doing() is State.BODY
    await visit.send(BEGUN[-1:])
    assert (visit.bodies, visit.doing()) == ([b"body"], State.ANSWERING)


async def test_while_it_answers_nothing_is_run_and_the_answer_is_the_last() -> None:
    visit = await visiting(State.ANSWERING)
    await visit.send(b"\r\n")
    assert visit.doing() is State.ANSWERING
    await visit.send(NEXT)
    assert visit.doing() is State.DEAF
    visit.allowed.set()
    await turns()
    assert visit.paths == ["/first"]
    assert visit.wire.written.count(b"HTTP/1.1 200 OK") == 1
    assert b"connection: close" in visit.wire.written


async def test_behind_an_answer_that_is_not_taken_nothing_is_run() -> None:
    visit = await visiting(State.UNTAKEN)
    await visit.send(NEXT)
    assert (visit.paths, visit.doing()) == (["/first"], State.DEAF)


async def test_once_an_answer_was_taken_the_next_request_is_run() -> None:
    visit = await visiting(State.UNTAKEN)
    visit.untaken = 0
    await visit.send(NEXT)
    assert (visit.paths, visit.doing()) == (["/first", "/next"], State.IDLE)


async def test_what_a_deaf_connection_is_sent_is_thrown_away() -> None:
    visit = await visiting(State.DEAF)
    written = visit.wire.written
    await visit.send(NEXT, BEGUN)
    assert (visit.paths, visit.wire.written, visit.doing()) == ([], written, State.DEAF)


@pytest.mark.parametrize(
    ("path", "first"),
    [("/abort", lambda connection: connection.abort()), ("/early", lambda connection: connection.answer(413, [], b""))],
)
async def test_a_cut_and_an_early_answer_leave_it_deaf(path: str, first: Callable[[object], object]) -> None:
    class Hasty(Waiting):
        async def app(self, scope: Scope, _: Receive, __: Send) -> None:
            self.scopes.append(scope)
            first(connection_of(scope))

    visit = Hasty(UsualRequests(65536))
    await visit.send(request(path=path, body=b"body")[:-1])
    assert visit.doing() is State.DEAF
    await visit.send(NEXT)
    assert visit.paths == [path]


@pytest.mark.parametrize("state", State)
async def test_only_an_idle_connection_is_closed_for_being_idle(state: State) -> None:
    for check in ("_close_if_idle", "_check_idleness"):
        visit = await visiting(state)
        visit.protocol._idle_since = float("-inf")
        getattr(visit.protocol, check)()
        assert bool(visit.wire.ended) is (state is State.IDLE)


def test_the_table_has_a_row_for_each_state() -> None:
    table = (State.__doc__ or "").splitlines()
    assert [line.split("`")[1] for line in table if "| `" in line[:8]] == [state.name for state in State]
