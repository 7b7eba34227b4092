"""A connection that died, or spoke, while it rested: who notices, what replaces it, and what becomes of the others."""

import asyncio
import threading

import pytest

from gateway.upstream.connection import BackendConnection
from gateway.upstream.errors import MayHaveRun, NeverSent
from tests.upstream.backend import OK, PATIENCE_SECS, Backend, Peer, answers
from tests.upstream.conftest import Opener, within
from tests.upstream.ends import (
    POST,
    Closes,
    answered_then,
    exchange,
    no_look_at_the_socket,
    read_then_close,
    read_then_reset,
    warm,
)

pytestmark = pytest.mark.anyio


async def test_a_connection_closed_while_idle_is_noticed_and_replaced(open_client: Opener) -> None:
    with Backend(answered_then(Peer.close), answers(OK)) as backend:
        client = open_client()
        await warm(client, backend)
        assert await within(2, lambda: client.counts == (0, 0, 0))
        assert await exchange(client, backend) == b"ok"
        assert backend.accepted == 2


async def test_a_close_that_the_loop_has_not_seen_is_seen_before_the_request_is_written(open_client: Opener) -> None:
    closes = Closes()
    with Backend(answered_then(closes), answers(OK)) as backend:
        client = open_client()
        await warm(client, backend)
        assert closes.wait()
        assert await exchange(client, backend) == b"ok"
        assert backend.accepted == 2


class Stray:
    """A backend that answers three requests, and when it is told to, says on the same connection what nobody asked."""

    def __init__(self, stray: bytes) -> None:
        self._stray = stray
        self.go, self.said = threading.Event(), threading.Event()
        self.script = answered_then(self._strays)

    def _strays(self, peer: Peer) -> None:
        assert self.go.wait(PATIENCE_SECS)
        peer.say(self._stray)
        self.said.set()
        peer.until_left()


async def test_a_stray_answer_that_the_loop_has_not_seen_reaches_no_request(open_client: Opener) -> None:
    """It lies in the kernel when the next request is to be written: only a look there tells."""
    stray = Stray(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nstray")
    with Backend(stray.script, answers(OK)) as backend:
        client = open_client()
        await warm(client, backend)
        stray.go.set()
        assert stray.said.wait(PATIENCE_SECS)  # blocks the loop
        assert await exchange(client, backend) == b"ok"
        assert backend.accepted == 2


@pytest.mark.parametrize(
    "part", [b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nstray", b"HTTP/1.1 200 OK\r\nx-stray: "]
)
async def test_a_stray_answer_that_the_loop_has_seen_ends_its_connection(open_client: Opener, part: bytes) -> None:
    """Nothing of it is in the kernel any more when the next request is to be written."""
    stray = Stray(part)
    with Backend(stray.script, answers(OK)) as backend:
        client = open_client()
        await warm(client, backend)
        assert client.counts == (1, 1, 0)
        stray.go.set()
        assert await within(PATIENCE_SECS, lambda: client.counts == (0, 0, 0))
        assert await exchange(client, backend) == b"ok"
        assert backend.accepted == 2


@pytest.mark.parametrize("how", ["reset", "cancelled"])
async def test_a_request_that_was_taken_and_ends_costs_no_other_connection(open_client: Opener, how: str) -> None:
    both = threading.Barrier(2)

    def one_of_two(peer: Peer) -> None:
        peer.request()
        both.wait(PATIENCE_SECS)
        peer.say(OK)
        peer.request()
        if how == "reset":
            peer.reset()
        else:
            peer.until_left()

    with Backend(one_of_two) as backend:
        client = open_client()
        await asyncio.gather(exchange(client, backend), exchange(client, backend))
        assert client.counts == (2, 2, 0)
        third = asyncio.create_task(exchange(client, backend))
        if how == "reset":
            with pytest.raises(MayHaveRun):
                await third
        else:
            assert await within(PATIENCE_SECS, lambda: backend.requests.qsize() == 3)
            third.cancel()
            with pytest.raises(asyncio.CancelledError):
                await third
        assert await within(PATIENCE_SECS, lambda: client.counts == (1, 1, 0))


async def test_a_stale_connection_takes_all_older_ones_with_it(open_client: Opener) -> None:
    gate = threading.Barrier(3)
    closed = threading.Barrier(3)

    def one_of_two(peer: Peer) -> None:
        peer.request()
        gate.wait(PATIENCE_SECS)
        peer.say(OK)
        gate.wait(PATIENCE_SECS)
        peer.close()
        closed.wait(PATIENCE_SECS)

    with Backend(one_of_two, one_of_two, answers(OK)) as backend:
        client = open_client()
        both = asyncio.gather(exchange(client, backend), exchange(client, backend))
        await asyncio.to_thread(gate.wait)
        await both
        assert client.counts == (2, 2, 0)
        gate.wait(PATIENCE_SECS)
        closed.wait(PATIENCE_SECS)
        with no_look_at_the_socket():
            assert await exchange(client, backend) == b"ok"
        assert backend.accepted == 3
        assert client.counts == (1, 1, 0)


async def test_after_a_stale_connection_none_that_rested_longer_is_tried(open_client: Opener) -> None:
    """The older one is open: nothing but the failure of the newer one closes it."""
    leave, left = threading.Event(), threading.Event()

    def closes(peer: Peer) -> None:
        leave.wait(PATIENCE_SECS)
        peer.close()
        left.set()

    with Backend(answers(OK), answered_then(closes), answers(OK)) as backend:
        client = open_client()
        older = await client.send(backend.address, POST)
        for _ in range(2):
            assert await exchange(client, backend) == b"ok"
        newer = await client.send(backend.address, POST)
        for reply in (older, newer):
            assert await reply.read() == b"ok"
            reply.close()
        assert (backend.accepted, client.counts) == (2, (2, 2, 0))
        leave.set()
        assert left.wait(PATIENCE_SECS)  # blocks the loop: it must not see the close before the request is written
        with no_look_at_the_socket():
            assert await exchange(client, backend) == b"ok"
        assert backend.accepted == 3
        assert client.counts == (1, 1, 0)


async def test_a_replacement_is_not_replaced(open_client: Opener, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is a new connection, or one that became free that very moment: then it may be stale itself."""
    with Backend(read_then_close, read_then_close, answers(OK)) as backend:
        monkeypatch.setattr(BackendConnection, "_explain", lambda *_: NeverSent("stale"))
        with pytest.raises(NeverSent) as caught:
            await exchange(open_client(), backend)
        assert (caught.value.reason, backend.accepted) == ("stale", 2)


async def test_what_the_replacement_may_have_taken_is_not_sent_again(open_client: Opener) -> None:
    closes = Closes()
    with Backend(answered_then(closes), read_then_reset, answers(OK)) as backend:
        client = open_client()
        await warm(client, backend)
        assert closes.wait()
        with no_look_at_the_socket(), pytest.raises(MayHaveRun):
            await exchange(client, backend)
        assert backend.accepted == 2
