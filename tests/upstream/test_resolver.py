"""A name is asked for anew, so that new connections follow a backend that moved."""

import asyncio
import threading

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
