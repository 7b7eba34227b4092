"""An application begins before its first request and ends after its last, and says why it cannot begin."""

import pytest

from gateway.core.asgi import Receive, Scope, Send
from gateway.server.lifespan import Lifespan, StartError

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

    lifespan = Lifespan(app)
    await lifespan.begin()
    with pytest.raises(OSError, match="the disk has gone"):
        await lifespan.end()


async def test_what_was_never_begun_ends_at_once() -> None:
    application = Application()
    await Lifespan(application).end()
    assert application.told == []
