"""What every client to the backends does, ours and aiohttp alike, against a server that misbehaves on request."""

import asyncio
import socket
import threading
from collections.abc import AsyncIterator
from typing import Any

import pytest

from gateway.upstream.address import Address
from gateway.upstream.errors import MayHaveRun, NeverSent
from gateway.upstream.http11 import Http11Client
from gateway.upstream.protocol import Reply, UpstreamClient, UpstreamRequest
from gateway.upstream.settings import UpstreamSettings
from tests.upstream.aiohttp_client import AiohttpClient
from tests.upstream.backend import OK, PATIENCE_SECS, STREAM, Backend, Peer, Script, answers, chunk, says

pytestmark = pytest.mark.anyio

POST = UpstreamRequest(b"POST", b"/v1/x?a=b", [(b"content-type", b"application/json"), (b"x-a", b"1")], b'{"a": 1}')


class PouringReply:
    """A reply that is read by pouring, a piece at a time."""

    def __init__(self, reply: Reply) -> None:
        self._reply = reply

    def __getattr__(self, name: str) -> Any:
        return getattr(self._reply, name)

    async def read(self) -> bytes:
        taken: list[bytes] = []

        def take(data: bytes) -> bool:
            taken.append(data)
            return False

        await self._reply.pour(take)
        return b"".join(taken)


class PouringClient(Http11Client):
    """Ours, with replies that are read by pouring."""

    async def send(self, address: Address, request: UpstreamRequest) -> Any:
        return PouringReply(await super().send(address, request))


@pytest.fixture(params=[Http11Client, PouringClient, AiohttpClient], ids=["ours", "ours poured", "aiohttp"])
async def client(request: pytest.FixtureRequest) -> AsyncIterator[UpstreamClient]:
    made: UpstreamClient = request.param(UpstreamSettings())
    yield made
    await made.aclose()


async def whole(reply: Reply) -> bytes:
    """Everything up to the clean end."""
    body = b""
    while data := await reply.read():
        body += data
    assert await reply.read() == b""
    assert reply.complete
    return body


async def exchange(client: UpstreamClient, address: Address, request: UpstreamRequest = POST) -> tuple[int, bytes]:
    reply = await client.send(address, request)
    try:
        return reply.status, await whole(reply)
    finally:
        reply.close()


async def test_the_backend_gets_the_request_as_it_was_given(client: UpstreamClient) -> None:
    with Backend(answers(OK)) as backend:
        assert await exchange(client, backend.address) == (200, b"ok")
        head, _, body = backend.requests.get_nowait().partition(b"\r\n\r\n")
    lines = head.split(b"\r\n")
    assert lines[0] == b"POST /v1/x?a=b HTTP/1.1"
    host = b"host: 127.0.0.1:%d" % backend.port
    assert sorted(line.lower() for line in lines[1:]) == sorted(
        [host, b"content-type: application/json", b"x-a: 1", b"content-length: 8"]
    )
    assert body == b'{"a": 1}'


async def test_the_requests_own_id_is_a_field_behind_the_others(client: UpstreamClient) -> None:
    with Backend(answers(OK)) as backend:
        for number in (b"one", b"two"):
            request = UpstreamRequest(b"POST", b"/", [(b"x-a", b"1")], b"{}", request_id=number)
            assert await exchange(client, backend.address, request) == (200, b"ok")
            lines = backend.requests.get_nowait().lower().split(b"\r\n")
            assert lines.count(b"x-request-id: " + number) == 1
            assert lines.index(b"x-request-id: " + number) > lines.index(b"x-a: 1")


async def test_a_clean_connection_carries_the_next_request(client: UpstreamClient) -> None:
    with Backend(answers(OK)) as backend:
        for _ in range(5):
            assert await exchange(client, backend.address) == (200, b"ok")
        assert backend.accepted == 1


async def test_a_large_body_arrives_whole(client: UpstreamClient) -> None:
    body = bytes(range(256)) * 20_000
    with Backend(answers(OK)) as backend:
        request = UpstreamRequest(b"POST", b"/", [], body)
        assert await exchange(client, backend.address, request) == (200, b"ok")
        assert backend.requests.get_nowait().endswith(b"\r\n\r\n" + body)


async def test_headers_of_one_connection_are_dropped_and_the_others_kept_in_order(client: UpstreamClient) -> None:
    head = (
        b"HTTP/1.1 418 Teapot\r\nX-First: 1\r\nConnection: keep-alive, x-private\r\nKeep-Alive: timeout=5\r\n"
        b"Server: uvicorn\r\nDate: now\r\nX-Private: 2\r\nProxy-Authenticate: no\r\nUpgrade: h2c\r\n"
        b"Trailer: x\r\nSet-Cookie: a\r\nSet-Cookie: b \t\r\nContent-Length: 2\r\n\r\nok"
    )
    with Backend(answers(head)) as backend:
        reply = await client.send(backend.address, POST)
        assert reply.status == 418
        assert reply.headers == [
            (b"x-first", b"1"),
            (b"set-cookie", b"a"),
            (b"set-cookie", b"b"),
            (b"content-length", b"2"),
        ]
        assert (reply.content_length, reply.content_type) == (2, b"")
        assert await whole(reply) == b"ok"
        reply.close()


async def test_the_final_heads_first_content_type_is_told(client: UpstreamClient) -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Type: a/b; c\r\ncontent-type: d/e\r\ncontent-length: 2\r\n\r\nok"
    with Backend(answers(b"HTTP/1.1 103 Early\r\ncontent-type: x/y\r\n\r\n" + head)) as backend:
        for _ in range(2):
            reply = await client.send(backend.address, POST)
            assert reply.content_type == b"a/b; c"
            assert await whole(reply) == b"ok"
            reply.close()


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
async def test_chunks_are_read_however_they_are_split(client: UpstreamClient, size: int) -> None:
    body = b"".join(chunk(b"x" * n, b";name=value") for n in (1, 2, 15, 16, 300)) + b"0\r\nx-trailer: 1\r\n\r\n"

    def drips(peer: Peer) -> None:
        while True:
            peer.request()
            peer.drip(STREAM + body, size)

    with Backend(drips) as backend:
        for _ in range(2):
            assert await exchange(client, backend.address) == (200, b"x" * 334)


async def test_no_chunk_waits_for_the_next(client: UpstreamClient) -> None:
    turn = threading.Event()

    def one_by_one(peer: Peer) -> None:
        peer.request()
        peer.say(STREAM, chunk(b"first"))
        turn.wait(PATIENCE_SECS)
        peer.say(chunk(b"second"), b"0\r\n\r\n")

    with Backend(one_by_one) as backend:
        reply = await client.send(backend.address, POST)
        assert await reply.read() == b"first"
        assert not reply.complete
        turn.set()
        assert await whole(reply) == b"second"
        reply.close()


async def test_a_body_without_a_length_ends_with_the_connection(client: UpstreamClient) -> None:
    with Backend(says(b"HTTP/1.1 200 OK\r\n\r\n", b"until ", b"the end")) as backend:
        reply = await client.send(backend.address, POST)
        assert reply.content_length is None
        assert await whole(reply) == b"until the end"
        reply.close()


@pytest.mark.parametrize("extra", [b"", b"connection: close\r\n"])
async def test_a_connection_that_ends_is_not_reused(client: UpstreamClient, extra: bytes) -> None:
    version = b"1" if extra else b"0"
    answer = b"HTTP/1.%b 200 OK\r\n%bcontent-length: 2\r\n\r\nok" % (version, extra)
    with Backend(says(answer)) as backend:
        for _ in range(3):
            assert await exchange(client, backend.address) == (200, b"ok")
        assert backend.accepted == 3


@pytest.mark.parametrize("status", [b"204 No Content", b"304 Not Modified"])
async def test_some_answers_have_no_body(client: UpstreamClient, status: bytes) -> None:
    with Backend(answers(b"HTTP/1.1 " + status + b"\r\n\r\n")) as backend:
        for _ in range(3):
            reply = await client.send(backend.address, POST)
            assert reply.content_length == 0
            assert await whole(reply) == b""
            reply.close()
        assert backend.accepted == 1


async def test_an_answer_to_head_has_no_body_whatever_its_length_says(client: UpstreamClient) -> None:
    with Backend(answers(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n")) as backend:
        for _ in range(3):
            reply = await client.send(backend.address, UpstreamRequest(b"HEAD", b"/"))
            assert reply.content_length == 0
            assert await whole(reply) == b""
            reply.close()
        assert backend.accepted == 1


async def test_interim_answers_are_skipped(client: UpstreamClient) -> None:
    interim = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n"
    with Backend(answers(interim + OK), answers(interim, OK)) as backend:
        reply = await client.send(backend.address, POST)
        assert reply.status == 200
        assert reply.headers == [(b"content-length", b"2")]
        assert await whole(reply) == b"ok"
        reply.close()


async def test_an_answer_before_the_body_was_read_is_an_answer(client: UpstreamClient) -> None:
    def refuses(peer: Peer) -> None:
        peer.head_only()
        peer.say(b"HTTP/1.1 413 Too Large\r\ncontent-length: 2\r\n\r\nno")
        peer.until_left()

    with Backend(refuses) as backend:
        request = UpstreamRequest(b"POST", b"/", [], b"x" * 20_000_000)
        assert await exchange(client, backend.address, request) == (413, b"no")


async def test_a_refused_connection_was_never_sent(client: UpstreamClient) -> None:
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]
    with pytest.raises(NeverSent) as caught:
        await client.send(Address.parse(f"http://127.0.0.1:{port}"), POST)
    assert caught.value.reason == "refused"
    assert str(port) not in caught.value.message


def read_then_reset(peer: Peer) -> None:
    peer.request()
    peer.reset()


def read_then_close(peer: Peer) -> None:
    peer.request()


@pytest.mark.parametrize(
    "script",
    [
        read_then_reset,
        read_then_close,
        says(b"HTTP/1.1 200 OK\r\ncontent-le"),
        says(b"SSH-2.0-OpenSSH_9.2\r\n"),
        says(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"),
        says(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\nokk"),
        says(b"HTTP/1.1 200 OK\r\ncontent-length: -2\r\n\r\nok"),
        says(b"HTTP/1.1 200 OK\r\nx-giant: " + b"x" * 500_000 + b"\r\n\r\n"),
        says(b"HTTP/1.1 20 OK\r\n\r\n"),
    ],
    ids=["reset", "close", "half a head", "ssh", "tls", "two lengths", "a negative length", "giant", "short status"],
)
async def test_without_an_answer_the_request_may_have_run(client: UpstreamClient, script: Script) -> None:
    with Backend(script) as backend:
        with pytest.raises(MayHaveRun) as caught:
            await client.send(backend.address, POST)
        assert caught.value.should_retry is False
        assert "127.0.0.1" not in caught.value.message
        assert backend.accepted == 1


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\npart",
        STREAM + chunk(b"part"),
        STREAM + b"10\r\npart",
        STREAM + chunk(b"part") + b"zz\r\n",
    ],
    ids=["short length", "no last chunk", "half a chunk", "bad chunk size"],
)
async def test_a_body_that_breaks_off_is_given_and_then_a_failure(client: UpstreamClient, answer: bytes) -> None:
    with Backend(says(answer)) as backend:
        if not isinstance(client, Http11Client):  # aiohttp forgets what came in the packet that ended badly
            with pytest.raises(MayHaveRun):
                await exchange(client, backend.address)
            return
        reply = await client.send(backend.address, POST)
        assert await reply.read() == b"part"
        with pytest.raises(MayHaveRun):
            await reply.read()
        reply.close()


async def test_a_reset_in_the_body_is_a_failure(client: UpstreamClient) -> None:
    turn = threading.Event()

    def breaks(peer: Peer) -> None:
        peer.request()
        peer.say(STREAM, chunk(b"part"))
        turn.wait(PATIENCE_SECS)
        peer.reset()

    with Backend(breaks) as backend:
        reply = await client.send(backend.address, POST)
        assert await reply.read() == b"part"
        turn.set()
        with pytest.raises(MayHaveRun):
            await reply.read()
        reply.close()


@pytest.mark.parametrize("more", [OK, b"garbage", b"0\r\n\r\n"])
async def test_bytes_after_the_end_reach_no_other_request(client: UpstreamClient, more: bytes) -> None:
    def mine(peer: Peer) -> None:
        who = peer.request()[-1:]
        peer.say(b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\n" + who + more)
        peer.until_left()

    with Backend(mine) as backend:
        for who in (b"1", b"2", b"3"):
            try:
                found = await exchange(client, backend.address, UpstreamRequest(b"POST", b"/", [], who))
            except MayHaveRun:
                assert isinstance(client, AiohttpClient)  # it fails the answer that came before the garbage
            else:
                assert found == (200, who)
        assert backend.accepted == 3


async def test_a_reply_closed_in_mid_body_closes_the_connection(client: UpstreamClient) -> None:
    def endless(peer: Peer) -> None:
        peer.request()
        peer.say(STREAM, chunk(b"x"))
        peer.until_left()

    with Backend(endless) as backend:
        reply = await client.send(backend.address, POST)
        assert await reply.read() == b"x"
        reply.close()
        reply.close()
        assert await asyncio.to_thread(backend.wait_for, lambda: backend.peers[0].left_at is not None)


async def test_many_requests_at_once_get_their_own_answers(client: UpstreamClient) -> None:
    def echo(peer: Peer) -> None:
        while True:
            body = peer.request().partition(b"\r\n\r\n")[2]
            peer.say(STREAM, chunk(body), b"0\r\n\r\n")

    with Backend(echo) as backend:
        bodies = [b"%d" % n for n in range(200)]
        requests = [UpstreamRequest(b"POST", b"/", [], body) for body in bodies]
        found = await asyncio.gather(*(exchange(client, backend.address, request) for request in requests))
        assert [body for _, body in found] == bodies


async def test_ipv6_and_a_base_path(client: UpstreamClient) -> None:
    try:
        backend = Backend(answers(OK), host="::1")
    except OSError:
        pytest.skip("this host has no IPv6")
    with backend:
        address = Address.parse(f"http://[::1]:{backend.port}/base/")
        assert await exchange(client, address) == (200, b"ok")
        sent = backend.requests.get_nowait()
        assert sent.startswith(b"POST /base/v1/x?a=b HTTP/1.1\r\n")
        assert b"host: [::1]:%d" % backend.port in sent.lower()
