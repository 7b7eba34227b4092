"""An application begins before its first request and ends after its last, and says why it cannot begin."""

import asyncio

import pytest

from gateway.core.asgi import Receive, Scope, Send
from gateway.server.lifespan import Lifespan, StartError
from tests.server.door import eventually, turns

pytestmark = pytest.mark.anyio


class Application:
    """Tells what it was told, and what it was told to tell."""

    def __init__(self, *words: dict[str, str]) -> None:
        self.words = words
        self.told: list[str] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope["state"]["opened"] = True
        self.told.append((await receive())["type"])
        for word in self.words:
            await send(word)
        self.told.append((await receive())["type"])


async def test_it_begins_and_ends_with_what_it_leaves_for_requests() -> None:
    application = Application({"type": "lifespan.startup.complete"})
    lifespan = Lifespan(application)
    await lifespan.begin()
    assert (application.told, lifespan.state) == (["lifespan.startup"], {"opened": True})
    await lifespan.end()
    assert application.told == ["lifespan.startup", "lifespan.shutdown"]


async def test_what_it_says_of_its_failure_is_kept() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        del scope
        await receive()
        await send({"type": "lifespan.startup.failed", "message": "no room"})

    with pytest.raises(StartError, match=r"^no room$"):
        await Lifespan(app).begin()


async def test_what_it_raises_at_its_start_is_why_it_cannot_start() -> None:
    async def app(*_: object) -> None:
        raise ValueError("no such zone")

    with pytest.raises(StartError, match=r"^no such zone$"):
        await Lifespan(app).begin()


async def test_what_it_raises_without_a_word_is_named() -> None:
    async def app(*_: object) -> None:
        raise AssertionError

    with pytest.raises(StartError, match=r"^AssertionError\(\)$"):
        await Lifespan(app).begin()


async def test_a_beginning_that_is_given_up_closes_what_it_has_opened() -> None:
    opening, closed = asyncio.Event(), asyncio.Event()

    async def app(*_: object) -> None:
        try:
            opening.set()
            await asyncio.Event().wait()
        finally:
            await turns(10)
            closed.set()

    beginning = asyncio.create_task(Lifespan(app).begin())
    await opening.wait()
    beginning.cancel()
    await asyncio.wait([beginning])
    assert (beginning.cancelled(), closed.is_set()) == (True, True)


async def test_what_it_raises_while_requests_run_is_told_at_once_and_raised_at_the_end() -> None:
    lost = asyncio.Event()
    told: list[Exception] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        del scope
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await lost.wait()
        raise OSError("the store has gone")

    lifespan = Lifespan(app)
    lifespan.on_failure = told.append
    await lifespan.begin()
    lost.set()
    await eventually(lambda: told)
    with pytest.raises(OSError, match="the store has gone") as raised:
        await lifespan.end()
    assert told == [raised.value]


async def test_one_that_returns_without_a_word_has_not_begun() -> None:
    async def app(*_: object) -> None:
        return

    with pytest.raises(StartError, match="startup failed"):
        await Lifespan(app).begin()


async def test_what_it_raises_at_its_end_is_not_lost() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        del scope
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        raise OSError("the disk has gone")

    told: list[Exception] = []
    lifespan = Lifespan(app)
    lifespan.on_failure = told.append
    await lifespan.begin()
    with pytest.raises(OSError, match="the disk has gone"):
        await lifespan.end()
    assert told == []  # nobody is served any more


async def test_what_was_never_begun_ends_at_once() -> None:
    application = Application()
    await Lifespan(application).end()
    assert application.told == []
