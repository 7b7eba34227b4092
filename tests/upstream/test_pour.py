"""A body can be taken in the very call that brings it, with the same bytes, bounds and ends as by reading."""

import asyncio
import socket
from threading import Event

import pytest

from gateway.upstream.connection import HIGH_WATER_BYTES
from gateway.upstream.errors import MayHaveRun
from gateway.upstream.http11 import Http11Reply
from gateway.upstream.protocol import UpstreamRequest
from tests.upstream.backend import PATIENCE_SECS, STREAM, Backend, Peer, Script, chunk, floods
from tests.upstream.conftest import Opener, within

pytestmark = pytest.mark.anyio

POST = UpstreamRequest(b"POST", b"/", [], b"{}")


class Taker:
    """Notes what it is given, and wants no more of it than `most` pieces."""

    def __init__(self, most: int = 1_000_000) -> None:
        self.pieces: list[bytes] = []
        self.most = most
        self.in_task: list[bool] = []

    def __call__(self, data: bytes) -> bool:
        self.pieces.append(data)
        self.in_task.append(asyncio.current_task() is not None)
        return len(self.pieces) < self.most


def says_one_by_one(proceed: Event) -> Script:
    def script(peer: Peer) -> None:
        peer.request()
        peer.say(STREAM)
        for text in (b"one", b"two", b"three"):
            assert proceed.wait(PATIENCE_SECS)
            proceed.clear()
            peer.say(chunk(text))
        assert proceed.wait(PATIENCE_SECS)
        peer.say(b"0\r\n\r\n")
        peer.request()

    return script


def says_one(proceed: Event) -> Script:
    def script(peer: Peer) -> None:
        peer.request()
        peer.say(STREAM)
        assert proceed.wait(PATIENCE_SECS)
        peer.say(chunk(b"one"))
        peer.until_left()

    return script


async def test_each_piece_is_taken_without_waking_the_task_that_waits(open_client: Opener) -> None:
    proceed = Event()
    client = open_client()
    with Backend(says_one_by_one(proceed)) as backend:
        reply = await client.send(backend.address, POST)
        taker = Taker()
        pouring = asyncio.create_task(reply.pour(taker))
        await asyncio.sleep(0)  # noqa: TID251 -- it has begun to wait
        for number in (1, 2, 3):
            proceed.set()
            assert await within(PATIENCE_SECS, lambda so_far=number: len(taker.pieces) == so_far)  # type: ignore[misc]
        proceed.set()
        await pouring
        assert taker.pieces == [b"one", b"two", b"three"]
        assert taker.in_task == [False, False, False]
        assert await reply.read() == b""
        reply.close()
        assert client.counts == (1, 1, 0)


async def test_whoever_wants_no_more_is_given_no_more_and_may_go_on(open_client: Opener) -> None:
    proceed = Event()
    client = open_client()
    with Backend(says_one_by_one(proceed)) as backend:
        reply = await client.send(backend.address, POST)
        proceed.set()
        first, rest = Taker(most=1), Taker()
        await reply.pour(first)
        assert first.pieces == [b"one"]
        proceed.set()
        assert isinstance(reply, Http11Reply)
        assert await within(PATIENCE_SECS, lambda: bool(reply.pieces))
        assert first.pieces == [b"one"]
        pouring = asyncio.create_task(reply.pour(rest))
        for number in (1, 2):
            assert await within(PATIENCE_SECS, lambda so_far=number: len(rest.pieces) == so_far)  # type: ignore[misc]
            proceed.set()
        proceed.set()
        await pouring
        assert rest.pieces == [b"two", b"three"]
        reply.close()


async def test_what_the_taker_raises_is_raised_where_it_is_awaited(open_client: Opener) -> None:
    proceed = Event()

    def fails(_: bytes) -> bool:
        raise ZeroDivisionError

    client = open_client()
    with Backend(says_one(proceed)) as backend:
        reply = await client.send(backend.address, POST)
        pouring = asyncio.create_task(reply.pour(fails))
        await asyncio.sleep(0)  # noqa: TID251 -- it has begun to wait: the piece comes to the loop, not to the task
        proceed.set()
        with pytest.raises(ZeroDivisionError):
            await pouring
        reply.close()
        assert await within(PATIENCE_SECS, lambda: client.counts == (0, 0, 0))


async def test_a_cut_behind_taken_pieces_is_a_failure(open_client: Opener) -> None:
    proceed = Event()

    def breaks_off(peer: Peer) -> None:
        peer.request()
        peer.say(STREAM + chunk(b"one"))
        assert proceed.wait(PATIENCE_SECS)
        peer.say(chunk(b"two"))
        peer.close()

    client = open_client()
    with Backend(breaks_off) as backend:
        reply = await client.send(backend.address, POST)
        taker = Taker()
        pouring = asyncio.create_task(reply.pour(taker))
        assert await within(PATIENCE_SECS, lambda: taker.pieces == [b"one"])
        proceed.set()
        with pytest.raises(MayHaveRun):
            await pouring
        assert taker.pieces == [b"one", b"two"]
        reply.close()


async def test_a_cancelled_wait_closes_the_connection_and_takes_nothing_more(open_client: Opener) -> None:
    proceed = Event()
    client = open_client()
    with Backend(says_one(proceed)) as backend:
        reply = await client.send(backend.address, POST)
        taker = Taker()
        pouring = asyncio.create_task(reply.pour(taker))
        proceed.set()
        assert await within(PATIENCE_SECS, lambda: taker.pieces == [b"one"])
        pouring.cancel()
        assert isinstance(reply, Http11Reply)
        assert reply.connection is not None
        reply.connection.data_received(chunk(b"two"))  # in the moment between the cancellation and its effect
        with pytest.raises(asyncio.CancelledError):
            await pouring
        reply.close()
        assert await within(PATIENCE_SECS, lambda: client.counts == (0, 0, 0))
        assert taker.pieces == [b"one"]


async def test_a_taker_that_wants_no_more_stops_the_backend(open_client: Opener) -> None:
    sent: list[int] = []

    client = open_client()
    with Backend(floods(sent, 1024)) as backend:
        reply = await client.send(backend.address, POST)
        assert isinstance(reply, Http11Reply)
        await reply.pour(Taker(most=3))
        held = reply
        assert await within(5, lambda: held.behind > HIGH_WATER_BYTES)
        seen = -1
        while seen != len(sent):  # until the kernels' buffers are full too
            seen = len(sent)
            await within(0.2, lambda: False)
        assert sum(sent) < 1024 * 65_536
        taker = Taker()
        await reply.pour(taker)
        reply.close()
        assert client.counts == (1, 1, 0)


async def test_what_comes_is_acknowledged_late_while_it_is_poured(open_client: Opener) -> None:
    proceed = Event()
    client = open_client()
    with Backend(says_one(proceed)) as backend:
        reply = await client.send(backend.address, POST)
        assert isinstance(reply, Http11Reply)
        assert reply.connection is not None
        sock = reply.connection._sock
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
        pouring = asyncio.create_task(reply.pour(Taker()))
        await asyncio.sleep(0)  # noqa: TID251 -- it has begun to wait
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK) == 0
        proceed.set()
        pouring.cancel()
        await asyncio.gather(pouring, return_exceptions=True)
        reply.close()


class Fails(Taker):
    """Raises at the piece that would be its last."""

    def __call__(self, data: bytes) -> bool:
        if not super().__call__(data):
            raise ZeroDivisionError
        return True


@pytest.mark.parametrize("taker", [Taker(most=2), Fails(most=2)], ids=["wants no more", "fails"])
async def test_a_chunk_that_is_recognised_is_refused_and_failed_upon_like_any_piece(
    open_client: Opener, taker: Taker
) -> None:
    taker.pieces.clear()
    taker.in_task.clear()
    proceed = Event()

    def says_two(peer: Peer) -> None:
        peer.request()
        peer.say(STREAM)
        for text in (b"one", b"two"):
            assert proceed.wait(PATIENCE_SECS)
            proceed.clear()
            peer.say(chunk(text))
        peer.until_left()

    client = open_client()
    with Backend(says_two) as backend:
        reply = await client.send(backend.address, POST)
        pouring = asyncio.create_task(reply.pour(taker))
        for number in (1, 2):
            proceed.set()
            assert await within(PATIENCE_SECS, lambda so_far=number: len(taker.pieces) == so_far)  # type: ignore[misc]
        done, _ = await asyncio.wait([pouring], timeout=PATIENCE_SECS)
        assert done
        assert isinstance(pouring.exception(), ZeroDivisionError if isinstance(taker, Fails) else type(None))
        assert taker.pieces == [b"one", b"two"]
        assert not taker.in_task[1]
        reply.close()
