"""What passes is heard, on whichever way it goes, and passes as if nobody listened."""

from typing import Any

import pytest

from gateway.audit.heard import Heard
from gateway.core.asgi import ClientConnection, Message, Receive, Scope, Send
from gateway.core.context import CONTEXT_KEY
from gateway.middleware.overhear import Overhear
from tests.core.requests import FakeConnection, Told, context, scope_of

pytestmark = pytest.mark.anyio


class Ear:
    """Listens to every request, or to none."""

    def __init__(self, *, deaf: bool = False) -> None:
        self.heard = Heard(1000)
        self._deaf = deaf

    def __call__(self, _: object) -> Heard | None:
        return None if self._deaf else self.heard

    @property
    def bodies(self) -> tuple[bytes, bytes]:
        return self.heard.asked.body, self.heard.answered.body


async def run(ear: Ear, app: Any, connection: FakeConnection | None, *parts: bytes) -> Told:
    """Run a request whose body comes in these parts."""
    told = Told()
    if connection is not None:
        connection.told = told
    coming = [{"type": "http.request", "body": part, "more_body": True} for part in parts]

    async def receive() -> Message:
        return coming.pop(0) if coming else {"type": "http.disconnect"}

    scope = scope_of()
    scope[CONTEXT_KEY] = context(connection=connection)
    await Overhear(app, ear)(scope, receive, told)
    return told


async def by_messages(_: Scope, receive: Receive, send: Send) -> None:
    while (await receive())["type"] == "http.request":
        pass
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"one", "more_body": True})
    await send({"type": "http.response.body", "body": b"two"})


async def at_once(scope: Scope, _: Receive, __: Send) -> None:
    connection = scope[CONTEXT_KEY].connection
    assert connection.take_body() == b"asked"
    assert connection.take_body() is None
    connection.answer(200, [], b"answered")


async def piece_by_piece(scope: Scope, _: Receive, __: Send) -> None:
    connection = scope[CONTEXT_KEY].connection
    push = connection.push
    connection.start(200, [], b"one")
    push(b"two")
    connection.finish(b"three")


async def test_a_body_and_an_answer_are_heard_message_by_message() -> None:
    ear = Ear()
    told = await run(ear, by_messages, None, b"a", b"b")
    assert ear.bodies == (b"ab", b"onetwo")
    assert told.body == b"onetwo"
    assert told.complete


@pytest.mark.parametrize(
    ("app", "heard"), [(at_once, (b"asked", b"answered")), (piece_by_piece, (b"", b"onetwothree"))]
)
async def test_the_connections_shorter_ways_are_heard_too(app: Any, heard: object) -> None:
    ear = Ear()
    told = await run(ear, app, FakeConnection(body=b"asked"))
    assert ear.bodies == heard
    assert told.body == ear.heard.answered.body
    assert told.complete


async def test_nothing_stands_between_when_nobody_listens() -> None:
    connection = FakeConnection()

    async def app(scope: Scope, _: Receive, __: Send) -> None:
        assert scope[CONTEXT_KEY].connection is connection

    await run(Ear(deaf=True), app, connection)


async def test_all_else_is_the_connections_own() -> None:
    connection = FakeConnection()

    async def app(scope: Scope, _: Receive, __: Send) -> None:
        heard: ClientConnection = scope[CONTEXT_KEY].connection
        assert heard.task is connection.task
        heard.watch(connection.abort)
        assert connection.on_gone is not None
        heard.unwatch()
        assert connection.on_gone is None
        connection.holds, connection.slow = 7, True
        assert (heard.untaken(), heard.slow) == (7, True)
        await heard.room()
        heard.abort()
        assert connection.aborted
        assert not connection.dropped
        heard.drop()
        assert connection.dropped

    await run(Ear(), app, connection)
