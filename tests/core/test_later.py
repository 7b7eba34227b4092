"""An application that is made at its first request: once, and beside the loop."""

import asyncio
import threading

import pytest

from gateway.core.asgi import ASGIApp, Receive, Scope, Send
from gateway.core.later import Later

pytestmark = pytest.mark.anyio


class Making:
    """Makes an application that notes who asked, when the test lets it."""

    def __init__(self) -> None:
        self.may = threading.Event()
        self.threads: list[int] = []
        self.asked: list[str] = []

    def __call__(self) -> ASGIApp:
        self.threads.append(threading.get_ident())
        self.may.wait(30)
        return self._answer

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        del receive, send
        self.asked.append(scope["path"])


async def unused() -> dict[str, object]:
    raise AssertionError


async def ask(later: Later, path: str) -> None:
    await later({"path": path}, unused, lambda _: unused())  # type: ignore[arg-type, return-value]  # nobody calls them


async def test_nothing_is_made_before_somebody_asks() -> None:
    making = Making()
    Later(making)
    await asyncio.sleep(0)  # noqa: TID251 -- a turn of the loop, no time
    assert making.threads == []


async def test_all_who_ask_while_it_is_made_get_the_one_and_the_loop_turns_meanwhile() -> None:
    making = Making()
    later = Later(making)
    asking = [asyncio.create_task(ask(later, path)) for path in ("/a", "/b")]
    async with asyncio.timeout(30):
        while not making.threads:  # noqa: ASYNC110 -- a thread tells no loop
            await asyncio.sleep(0)  # noqa: TID251 -- no time passes
    assert making.asked == []
    making.may.set()
    await asyncio.wait_for(asyncio.gather(*asking), 30)
    await ask(later, "/c")
    assert making.asked == ["/a", "/b", "/c"]
    assert len(making.threads) == 1
    assert making.threads[0] != threading.get_ident()


async def test_whoever_asked_first_may_leave() -> None:
    making = Making()
    later = Later(making)
    first = asyncio.create_task(ask(later, "/first"))
    async with asyncio.timeout(30):
        while not making.threads:  # noqa: ASYNC110 -- a thread tells no loop
            await asyncio.sleep(0)  # noqa: TID251 -- no time passes
    first.cancel()
    making.may.set()
    await asyncio.wait_for(ask(later, "/second"), 30)
    assert making.asked == ["/second"]


async def test_what_failed_to_be_made_is_made_by_the_next_request() -> None:
    tries: list[None] = []

    def make() -> ASGIApp:
        tries.append(None)
        if len(tries) == 1:
            raise OSError("too many open files")
        return making._answer

    making = Making()
    later = Later(make)
    with pytest.raises(OSError, match="too many"):
        await ask(later, "/a")
    await ask(later, "/b")
    await ask(later, "/c")
    assert (len(tries), making.asked) == (2, ["/b", "/c"])
