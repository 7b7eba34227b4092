"""A backend behind https is reached when its certificate is signed by the stated authority, and only then."""

import asyncio
import ssl
from pathlib import Path

import pytest

from gateway.upstream.address import Address
from gateway.upstream.errors import MayHaveRun, NeverSent
from gateway.upstream.protocol import UpstreamRequest
from tests.support.certificates import self_signed
from tests.upstream.backend import OK, STREAM, Backend, Peer, answers, chunk
from tests.upstream.conftest import Opener, within

pytestmark = pytest.mark.anyio

POST = UpstreamRequest(b"POST", b"/", [], b"{}")


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, ssl.SSLContext]:
    """A certificate for 127.0.0.1 that is its own authority, and a server's context with it."""
    return self_signed(tmp_path_factory.mktemp("tls"))


Pair = tuple[Path, ssl.SSLContext]


async def test_requests_share_an_encrypted_connection(open_client: Opener, pair: Pair) -> None:
    with Backend(answers(OK), tls=pair[1]) as backend:
        client = open_client(upstream_ca_file=pair[0])
        for _ in range(3):
            reply = await client.send(backend.address, POST)
            assert await reply.read() == b"ok"
            reply.close()
        assert backend.accepted == 1


async def test_a_certificate_of_nobody_is_refused_before_anything_is_sent(open_client: Opener, pair: Pair) -> None:
    with Backend(answers(OK), tls=pair[1]) as backend:
        client = open_client()
        with pytest.raises(NeverSent) as caught:
            await client.send(backend.address, POST)
        assert caught.value.reason == "tls"
        assert backend.requests.empty()
        assert await within(2, lambda: client.counts == (0, 0, 0))


async def test_a_certificate_for_another_name_is_refused(open_client: Opener, pair: Pair) -> None:
    with Backend(answers(OK), tls=pair[1]) as backend:
        client = open_client(lambda _: ["127.0.0.1"], upstream_ca_file=pair[0])
        with pytest.raises(NeverSent) as caught:
            await client.send(Address.parse(f"https://chat0:{backend.port}"), POST)
        assert caught.value.reason == "tls"


async def test_a_plain_server_is_no_tls_server(open_client: Opener, pair: Pair) -> None:
    with Backend(lambda peer: peer.say(b"HTTP/1.1 400 Bad Request\r\n\r\n")) as backend:
        client = open_client(upstream_ca_file=pair[0])
        with pytest.raises(NeverSent):
            await client.send(Address.parse(f"https://127.0.0.1:{backend.port}"), POST)


async def test_a_handshake_that_never_comes_is_given_up(open_client: Opener, pair: Pair) -> None:
    def silent(peer: Peer) -> None:
        peer.until_left()

    with Backend(silent) as backend:
        client = open_client(upstream_ca_file=pair[0], upstream_connect_timeout_secs=0.1)
        with pytest.raises(NeverSent) as caught:
            await client.send(Address.parse(f"https://127.0.0.1:{backend.port}"), POST)
        assert caught.value.reason == "connect_timeout"
        assert await within(2, lambda: client.counts == (0, 0, 0))
        assert await asyncio.to_thread(backend.wait_for, lambda: backend.peers[0].left_at is not None)


async def test_a_cancelled_request_closes_the_encrypted_connection(open_client: Opener, pair: Pair) -> None:
    def endless(peer: Peer) -> None:
        peer.request()
        peer.say(STREAM, chunk(b"x"))
        peer.until_left()

    with Backend(endless, tls=pair[1]) as backend:
        client = open_client(upstream_ca_file=pair[0])
        reply = await client.send(backend.address, POST)
        assert await reply.read() == b"x"
        task = asyncio.create_task(reply.read())
        await asyncio.to_thread(lambda: None)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await asyncio.to_thread(backend.wait_for, lambda: backend.peers[0].left_at is not None)


async def test_a_request_that_was_read_may_have_run_under_tls_too(open_client: Opener, pair: Pair) -> None:
    def reads(peer: Peer) -> None:
        peer.request()
        peer.say(OK)
        peer.request()

    with Backend(reads, tls=pair[1]) as backend:
        client = open_client(upstream_ca_file=pair[0])
        reply = await client.send(backend.address, POST)
        assert await reply.read() == b"ok"
        reply.close()
        with pytest.raises(MayHaveRun):
            await client.send(backend.address, POST)
