"""A name is asked for anew, so that new connections follow a backend that moved."""

import asyncio
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest

from gateway.upstream.address import Address
from gateway.upstream.errors import NeverSent
from gateway.upstream.protocol import UpstreamRequest
from gateway.upstream.resolver import Resolver, system_lookup
from tests.upstream.backend import OK, PATIENCE_SECS, Backend, answers
from tests.upstream.conftest import Opener, within

pytestmark = pytest.mark.anyio

POST = UpstreamRequest(b"POST", b"/", [], b"{}")


async def test_new_connections_follow_a_backend_that_moved(open_client: Opener) -> None:
    where = ["127.0.0.1"]
    with Backend(answers(OK)) as old:
        try:
            moved = Backend(answers(OK), host="127.0.0.2", port=old.port)
        except OSError:
            pytest.skip("this host has no 127.0.0.2")
        with moved:
            client = open_client(lambda _: list(where), upstream_dns_secs=0.05, upstream_keepalive_secs=0)
            address = Address.parse(f"http://chat0:{old.port}")
            (await client.send(address, POST)).close()
            assert (old.accepted, moved.accepted) == (1, 0)
            where[0] = "127.0.0.2"
            async with asyncio.timeout(PATIENCE_SECS):
                while not moved.accepted:
                    (await client.send(address, POST)).close()
            before = old.accepted
            for _ in range(5):
                (await client.send(address, POST)).close()
            assert old.accepted == before


async def test_the_next_address_is_tried_when_one_refuses(open_client: Opener) -> None:
    with Backend(answers(OK)) as backend:
        client = open_client(lambda _: ["127.0.0.3", "127.0.0.1"])
        (await client.send(Address.parse(f"http://chat0:{backend.port}"), POST)).close()
        assert backend.accepted == 1


async def test_every_address_is_tried_before_the_name_is_given_up(open_client: Opener) -> None:
    with Backend(answers(OK)) as backend:
        client = open_client(lambda _: ["127.0.0.3", "127.0.0.4", "127.0.0.5", "127.0.0.1"], upstream_keepalive_secs=0)
        address = Address.parse(f"http://chat0:{backend.port}")
        (await client.send(address, POST)).close()
        assert backend.accepted == 1
    with pytest.raises(NeverSent) as caught:
        await client.send(address, POST)
    assert caught.value.reason == "refused"


@contextmanager
def swallowing(port: int) -> Iterator[str]:
    """An address where a connection to that port is neither taken nor refused: the listener's queue is full."""
    with ExitStack() as stack:
        listener = stack.enter_context(socket.create_server(("127.0.0.3", port), backlog=0))
        for _ in range(3):
            client = stack.enter_context(socket.socket())
            client.setblocking(False)  # noqa: FBT003 -- the socket module's own
            client.connect_ex(listener.getsockname())
        yield "127.0.0.3"


async def test_an_address_that_swallows_packets_leaves_time_for_the_next(open_client: Opener) -> None:
    with Backend(answers(OK)) as backend, swallowing(backend.port) as silent:
        client = open_client(lambda _: [silent, "127.0.0.1"], upstream_connect_timeout_secs=0.4)
        (await client.send(Address.parse(f"http://chat0:{backend.port}"), POST)).close()
        assert backend.accepted == 1


async def test_when_all_addresses_swallow_packets_the_time_is_over_once(open_client: Opener) -> None:
    with Backend(answers(OK)) as backend, swallowing(backend.port) as silent:
        client = open_client(lambda _: [silent, silent], upstream_connect_timeout_secs=0.4)
        began = asyncio.get_running_loop().time()
        with pytest.raises(NeverSent) as caught:
            await client.send(Address.parse(f"http://chat0:{backend.port}"), POST)
        assert caught.value.reason == "connect_timeout"
        assert 0.3 < asyncio.get_running_loop().time() - began < 5


async def test_a_name_that_was_unknown_is_found_as_soon_as_it_is_known(open_client: Opener) -> None:
    known: list[str] = []

    def lookup(host: str) -> list[str]:
        if not known:
            raise OSError(f"no {host}")
        return known

    with Backend(answers(OK)) as backend:
        client = open_client(lookup, upstream_dns_secs=600)
        address = Address.parse(f"http://chat0:{backend.port}")
        with pytest.raises(NeverSent):
            await client.send(address, POST)
        known.append("127.0.0.1")
        (await client.send(address, POST)).close()
        assert backend.accepted == 1


async def test_a_resolver_that_hangs_costs_the_connect_time_out_and_one_thread(open_client: Opener) -> None:
    asked: list[str] = []
    turn = threading.Event()

    def lookup(host: str) -> list[str]:
        asked.append(host)
        turn.wait(PATIENCE_SECS)
        return ["127.0.0.1"]

    client = open_client(lookup, upstream_connect_timeout_secs=0.1)
    try:
        for _ in range(3):
            with pytest.raises(NeverSent) as caught:
                await client.send(Address.parse("http://chat0:8000"), POST)
            assert caught.value.reason == "connect_timeout"
        assert asked == ["chat0"]
    finally:
        turn.set()


@pytest.mark.parametrize("ip", ["169.254.169.254", "::ffff:169.254.169.254", "fe80::1%eth0"])
async def test_a_name_that_leads_to_a_metadata_service_is_not_followed(open_client: Opener, ip: str) -> None:
    with pytest.raises(NeverSent) as caught:
        await open_client(lambda _: [ip]).send(Address.parse("http://chat0:8000"), POST)
    assert caught.value.reason == "forbidden_address"


async def test_an_unknown_name_was_never_sent(open_client: Opener) -> None:
    client = open_client()
    with pytest.raises(NeverSent) as caught:
        await client.send(Address.parse("http://no-such-host.invalid"), POST)
    assert caught.value.reason == "dns"
    assert client.counts == (0, 0, 0)


async def test_those_who_ask_at_once_share_one_question_and_one_may_leave() -> None:
    asked: list[str] = []
    turn = threading.Event()

    def lookup(host: str) -> list[str]:
        asked.append(host)
        turn.wait(PATIENCE_SECS)
        return ["127.0.0.1"]

    resolver = Resolver(60, lookup)
    first, second, third = (asyncio.create_task(resolver.resolve("chat0")) for _ in range(3))
    assert await within(2, lambda: bool(asked))
    first.cancel()
    turn.set()
    assert await second == await third == ["127.0.0.1"]
    with pytest.raises(asyncio.CancelledError):
        await first
    assert await resolver.resolve("chat0") == ["127.0.0.1"]
    assert asked == ["chat0"]


async def test_an_address_is_not_asked_for() -> None:
    def never(host: str) -> list[str]:
        raise AssertionError(host)

    assert await Resolver(0, never).resolve("10.0.0.7") == ["10.0.0.7"]
    assert await Resolver(0, never).resolve("::1") == ["::1"]


def test_the_system_knows_this_host() -> None:
    assert set(system_lookup("localhost")) & {"127.0.0.1", "::1"}
