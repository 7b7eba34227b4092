"""A reader that does not read holds a bounded number of bytes here, and its backend's send blocks."""

import asyncio
import socket

import pytest

from gateway.upstream.connection import HIGH_WATER_BYTES
from gateway.upstream.http11 import Http11Reply
from gateway.upstream.protocol import UpstreamRequest
from gateway.upstream.tcp import RECEIVE_BYTES
from tests.upstream.backend import STREAM, Backend, Peer, chunk, floods
from tests.upstream.conftest import Opener, within

pytestmark = pytest.mark.anyio

POST = UpstreamRequest(b"POST", b"/", [], b"{}")
ONE_RECEIVE = 262_144
"""The most that an event loop hands over at once."""
ONE_WRITE = 65_536
TOTAL = 64 << 20


async def test_a_reader_that_does_not_read_stops_the_backend(open_client: Opener) -> None:
    sent: list[int] = []

    client = open_client()
    with Backend(floods(sent, TOTAL >> 16)) as backend:
        reply = await client.send(backend.address, POST)
        assert isinstance(reply, Http11Reply)
        held = reply
        assert await within(5, lambda: held.behind > HIGH_WATER_BYTES)
        seen = -1
        while seen != len(sent):  # until the kernels' buffers are full too
            seen = len(sent)
            assert not await within(0.2, lambda: held.behind > HIGH_WATER_BYTES + ONE_RECEIVE)
        assert sum(sent) < TOTAL
        assert sum(map(len, held.pieces)) <= HIGH_WATER_BYTES + ONE_RECEIVE
        body = 0
        while data := await reply.read():
            body += len(data)
            assert len(data) <= HIGH_WATER_BYTES + ONE_RECEIVE
        assert body == TOTAL
        reply.close()
        assert client.counts == (1, 1, 0)


async def test_a_reader_that_stops_leaves_little_in_the_kernel(open_client: Opener) -> None:
    """It read fast before, which is when a kernel lets a receive buffer grow without a bound of ours."""
    sent = sends_up_to = 0

    def floods(peer: Peer) -> None:
        nonlocal sent, sends_up_to
        peer.sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 32_768)
        sends_up_to = peer.sock.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF) + ONE_WRITE
        peer.request()
        peer.say(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % TOTAL)
        while sent < TOTAL:
            sent += peer.sock.send(b"x" * ONE_WRITE)

    client = open_client()
    with Backend(floods) as backend:
        reply = await client.send(backend.address, POST)
        assert isinstance(reply, Http11Reply)
        read = 0
        while read < TOTAL // 2:
            read += len(await reply.read())
        seen = -1
        while seen != sent:
            seen = sent
            await within(0.2, lambda: sent == TOTAL)
        held = sum(map(len, reply.pieces))
        assert held <= HIGH_WATER_BYTES + ONE_RECEIVE
        assert sent - read - held <= 2 * RECEIVE_BYTES + sends_up_to
        reply.close()


async def test_a_stopped_connection_can_be_closed(open_client: Opener) -> None:
    def floods(peer: Peer) -> None:
        peer.request()
        peer.say(STREAM)
        while True:
            peer.say(chunk(b"x" * 65_536))

    client = open_client()
    with Backend(floods) as backend:
        reply = await client.send(backend.address, POST)
        assert isinstance(reply, Http11Reply)
        held = reply
        assert await within(5, lambda: held.behind > HIGH_WATER_BYTES)
        reply.close()
        assert await within(2, lambda: client.counts == (0, 0, 0))
        assert await reply.read()
        with pytest.raises(RuntimeError, match="closed"):
            await reply.read()


async def test_a_small_answer_is_one_read(open_client: Opener) -> None:
    """What has arrived is given together: bytes that came in one packet are not handed out chunk by chunk."""

    def at_once(peer: Peer) -> None:
        peer.request()
        peer.say(STREAM + b"".join(chunk(b"%d" % n) for n in range(10)) + b"0\r\n\r\n")
        peer.request()

    with Backend(at_once) as backend:
        reply = await open_client().send(backend.address, POST)
        await asyncio.to_thread(lambda: None)
        assert await reply.read() == b"0123456789"
        reply.close()
