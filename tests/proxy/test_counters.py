"""Two hosts count the seats and turns of a server together if it is one for both, and each for itself if it is not."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import cast

import pytest
from anyio.lowlevel import checkpoint
from pydantic import SecretStr

from gateway.backends.choices import BackendsShared
from gateway.backends.common import is_one_for_all
from gateway.core.clock import SystemClock
from gateway.core.endpoint import ModelKind
from gateway.core.fleet import Backend, BackendGroup
from gateway.proxy.counters import Counters
from gateway.proxy.seats import HeldSeat, SeatLimits, Seats
from gateway.proxy.unavailable import NoFreeSeatError, SeatsTakenError
from gateway.store import environment
from gateway.store.lmdb import LmdbStore
from gateway.store.settings import StoreSettings
from gateway.store.tree import Environment
from gateway.store.valkey.store import ValkeyStore
from tests.core.requests import context
from tests.store.conftest import directory as directory  # noqa: PLC0414 -- a fixture
from tests.store.host import Shared
from tests.store.valkey.server import Server, running

pytestmark = pytest.mark.anyio

COMMON, ANOTHER, LOCAL = "http://10.0.0.5:8000", "http://10.0.0.6:8000", "http://chat0:8000"
CLOCK = SystemClock()


class Host:
    """A worker of one host, whose chat group has servers at these URLs, with a seat each."""

    def __init__(self, store: ValkeyStore, shared: BackendsShared, *urls: str) -> None:
        self.store = store
        backends = tuple(Backend(f"chat{number}", url) for number, url in enumerate(urls))
        self.group = BackendGroup("chat", ModelKind.CHAT, model="qwen", aliases=(), backends=backends)
        self.counters = Counters(store, partial(is_one_for_all, shared=shared))
        self.counters.follow([self.group])
        self.seats = Seats(self.counters, SeatLimits(1, 10, 5.0), CLOCK, Counter())

    def move(self, *urls: str) -> None:
        """Its backends are at these URLs now."""
        self.group = replace(self.group, backends=tuple(Backend(f"chat{at}", url) for at, url in enumerate(urls)))
        self.counters.follow([self.group])

    async def sit(self, *names: str) -> HeldSeat:
        """A free seat at one of the backends of these names; at any, where none is named."""
        candidates = names or [backend.name for backend in self.group.backends]
        return await self.seats.take_free(context(group="chat"), self.group, lambda: candidates)

    async def taken(self) -> list[str]:
        """Where seats are had until there is none."""
        found = []
        while True:
            try:
                found.append((await self.sit()).backend)
            except NoFreeSeatError:
                return found


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with running() as server:
        yield server


@pytest.fixture
def one_environment_each(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Two workers of one host stand in this process, in which LMDB opens a file once."""
    opened: dict[Path, Environment] = {}
    really_open = environment.open_environment

    def share(directory: Path, room: environment.Room, *, alone: bool) -> Shared:
        if directory not in opened:
            opened[directory] = cast("Environment", really_open(directory, room, alone=alone))
        return Shared(opened[directory])

    monkeypatch.setattr(environment, "open_environment", share)
    yield
    for one in opened.values():
        one.close()


OpenHost = Callable[..., Awaitable[Host]]
"""Its name, and the URLs of its backends."""


@pytest.fixture
async def open_host(server: Server, directory: Path, one_environment_each: None) -> AsyncIterator[OpenHost]:
    del one_environment_each
    server.ask("FLUSHALL")
    async with AsyncExitStack() as stack:

        async def opened(name: str, *urls: str, shared: BackendsShared = BackendsShared.AUTO) -> Host:
            settings = StoreSettings(
                limiter_path=directory / name, redis_url=SecretStr(server.url), redis_timeout_ms=1000
            )
            store = ValkeyStore(settings, CLOCK, LmdbStore(settings, CLOCK))
            host = Host(store, shared, *urls)  # before it is open, as workers are made
            await store.open()
            stack.push_async_callback(store.close)
            return host

        yield opened


async def test_the_seats_of_a_server_of_two_hosts_are_for_both_whatever_each_calls_it(open_host: OpenHost) -> None:
    one, other = await open_host("a", COMMON, ANOTHER), await open_host("b", ANOTHER, f"{COMMON.upper()}/")
    held = await one.sit("chat0")
    assert held.backend == "chat0"
    assert await other.taken() == ["chat0"], "the other's chat1 is the one's chat0"
    assert await one.taken() == []
    held.leave()
    assert await other.taken() == ["chat1"]


async def test_backends_of_one_name_that_are_two_servers_have_seats_each(open_host: OpenHost) -> None:
    one, other = await open_host("a", COMMON), await open_host("b", ANOTHER)
    assert [await host.taken() for host in (one, other)] == [["chat0"]] * 2


@pytest.mark.parametrize(("shared", "url"), [(BackendsShared.AUTO, LOCAL), (BackendsShared.OFF, COMMON)])
async def test_two_hosts_with_servers_of_their_own_have_seats_of_their_own(
    open_host: OpenHost, server: Server, shared: BackendsShared, url: str
) -> None:
    one, other = await open_host("a", url, shared=shared), await open_host("b", url, shared=shared)
    sibling = await open_host("a", url, shared=shared)
    assert [await host.taken() for host in (one, other, sibling)] == [["chat0"], ["chat0"], []]
    assert not [key for key in server.ask("KEYS", "*") if b"{g:" in key], "nobody else is asked"


async def test_where_a_name_means_one_server_after_all_it_can_be_said(open_host: OpenHost) -> None:
    one, other = [await open_host(name, LOCAL, shared=BackendsShared.ON) for name in "ab"]
    assert [await host.taken() for host in (one, other)] == [["chat0"], []]


async def test_a_common_server_and_one_of_each_host_stand_in_one_group(open_host: OpenHost) -> None:
    one, other = [await open_host(name, LOCAL, COMMON) for name in "ab"]
    sibling = await open_host("a", LOCAL, COMMON)
    assert [await host.taken() for host in (one, other, sibling)] == [["chat0", "chat1"], ["chat0"], []]


async def test_a_backend_that_moves_to_another_server_has_the_seats_of_that(open_host: OpenHost) -> None:
    one, other = await open_host("a", COMMON), await open_host("b", ANOTHER)
    assert await one.taken() == ["chat0"]
    one.move(ANOTHER)
    assert await one.taken() == ["chat0"]
    assert await other.taken() == []


@pytest.mark.parametrize("url", [LOCAL, COMMON])
async def test_who_is_turned_away_is_told_of_those_who_wait_where_it_would(open_host: OpenHost, url: str) -> None:
    host = await open_host("a", url)
    await host.sit()
    seats = Seats(host.counters, SeatLimits(1, 1, 5.0), CLOCK, Counter())

    async def take() -> None:
        await seats.take(context(group="chat"), host.group, lambda: ["chat0"])

    waits = asyncio.create_task(take())
    while not any(counts.queued for counts in host.counters.of("chat").seat_counts()):
        await checkpoint()
    with pytest.raises(SeatsTakenError) as refused:
        await take()
    assert refused.value.retry_after == 2 * 5.0
    waits.cancel()
    await asyncio.wait([waits])


async def test_turns_go_by_over_all_hosts_that_have_a_server_in_common_and_else_on_each(open_host: OpenHost) -> None:
    common = [await open_host(name, COMMON, LOCAL) for name in "ab"]
    assert [await host.counters.next_turn("chat") for _ in range(2) for host in common] == [0, 1, 2, 3]
    apart = [await open_host(name, LOCAL) for name in "cd"]
    assert [await host.counters.next_turn("chat") for _ in range(2) for host in apart] == [0, 0, 1, 1]


async def test_who_sits_gives_back_the_seat_that_it_has_though_the_fleet_is_another_by_then(
    open_host: OpenHost,
) -> None:
    host = await open_host("a", LOCAL)
    held = await host.sit()
    host.move(COMMON)
    held.leave()
    assert host.store.own.seat_counts() == ()
    assert await host.taken() == ["chat0"]
