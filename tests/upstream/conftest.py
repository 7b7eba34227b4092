"""What do the tests of the wire share? Both event loops, and a client that leaves nothing behind."""

import asyncio
import contextlib
import gc
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from gateway.upstream.http11 import Http11Client
from gateway.upstream.resolver import Lookup, system_lookup
from gateway.upstream.settings import UpstreamSettings


@pytest.fixture(
    scope="session",
    params=[("asyncio", {"use_uvloop": True}), ("asyncio", {"use_uvloop": False})],
    ids=["uvloop", "asyncio"],
)
def anyio_backend(request: pytest.FixtureRequest) -> object:
    """Sockets die differently on the two loops, so everything runs on both."""
    return request.param


Opener = Callable[..., Http11Client]


@pytest.fixture
async def open_client() -> AsyncIterator[Opener]:
    """Make clients of ours; after the test each has closed every socket and left no task."""
    clients: list[Http11Client] = []

    def make(lookup: Lookup = system_lookup, **settings: object) -> Http11Client:
        clients.append(Http11Client(UpstreamSettings.model_validate(settings), lookup))
        return clients[-1]

    yield make
    for client in clients:
        await client.aclose()
        assert client.counts == (0, 0, 0)
    assert [task for task in asyncio.all_tasks() if "TestRunner" not in repr(task)] == []


async def within(secs: float, condition: Callable[[], bool]) -> bool:
    """Let the loop run until `condition` holds."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(secs):
            while not condition():
                await asyncio.to_thread(lambda: None)
    return condition()


def open_sockets() -> int:
    """How many sockets this process holds."""
    gc.collect()
    count = 0
    for fd in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):
            count += str(fd.readlink()).startswith("socket:")
    return count
