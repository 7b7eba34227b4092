"""A cancelled request closes its connection at once, in every phase, and leaves nothing behind."""

import asyncio
import contextlib
import random
import socket
import time
from collections.abc import Callable

import pytest

from gateway.upstream.address import Address
from gateway.upstream.http11 import Http11Client
from gateway.upstream.protocol import UpstreamRequest
from tests.upstream.backend import OK, PATIENCE_SECS, STREAM, Backend, Peer, answers, chunk
from tests.upstream.conftest import Opener, open_sockets, within

pytestmark = pytest.mark.anyio

POST = UpstreamRequest(b"POST", b"/", [], b"{}")
CLOSE_SECS = 0.05


async def exchange(client: Http11Client, address: Address, request: UpstreamRequest = POST) -> bytes:
    reply = await client.send(address, request)
    try:
        body = b""
        while data := await reply.read():
            body += data
        return body
    finally:
        reply.close()


async def cancel(task: "asyncio.Task[bytes]") -> float:
    """Cancel, see it end, and tell when it was cancelled."""
    task.cancel()
    at = time.monotonic()
    with pytest.raises(asyncio.CancelledError):
        await task
    return at


async def seen_close(backend: Backend, peer: int) -> float:
    """When the backend saw the close of its connection."""
    assert await asyncio.to_thread(backend.wait_for, lambda: backend.peers[peer].left_at is not None)
    left = backend.peers[peer].left_at
    assert left is not None
    return left


def waits_before_answering(peer: Peer) -> None:
    peer.request()
    peer.until_left()


def takes_nothing_of_the_body(peer: Peer) -> None:
    peer.head_only()
    peer.until_left()


def stops_in_the_body(peer: Peer) -> None:
    peer.request()
    peer.say(STREAM, chunk(b"x"))
    peer.until_left()


@pytest.mark.parametrize("script", [waits_before_answering, takes_nothing_of_the_body, stops_in_the_body])
@pytest.mark.parametrize("size", [2, 10_000_000])
async def test_the_backend_sees_the_close_at_once(
    open_client: Opener, script: Callable[[Peer], None], size: int
) -> None:
    client = open_client()
    request = UpstreamRequest(b"POST", b"/", [], b"x" * size)
    with Backend(script) as backend:
        task = asyncio.create_task(exchange(client, backend.address, request))
        assert await within(PATIENCE_SECS, lambda: bool(backend.accepted and backend.peers[0].ready))
        cancelled_at = await cancel(task)
        assert await within(2, lambda: client.counts == (0, 0, 0))
        assert await seen_close(backend, 0) - cancelled_at < CLOSE_SECS


async def test_a_connection_attempt_is_given_up(open_client: Opener) -> None:
    client = open_client()
    with socket.socket() as deaf:
        # A full backlog: the kernel answers no further SYN, so that the attempt hangs.
        deaf.bind(("127.0.0.1", 0))
        deaf.listen(0)
        port = deaf.getsockname()[1]
        with contextlib.ExitStack() as fillers:
            for _ in range(4):
                filler = fillers.enter_context(socket.socket())
                filler.settimeout(0)
                filler.connect_ex(("127.0.0.1", port))
            before = open_sockets()
            task = asyncio.create_task(exchange(client, Address.parse(f"http://127.0.0.1:{port}")))
            assert await within(2, lambda: client.counts[0] == 1)
            assert not await within(0.05, lambda: client.counts[0] == 0)
            await cancel(task)
            assert client.counts == (0, 0, 0)
            assert await within(1, lambda: open_sockets() == before)


async def test_a_place_in_the_queue_for_a_connection_is_given_up(open_client: Opener) -> None:
    client = open_client(upstream_max_connections=1)
    with Backend(waits_before_answering, answers(OK)) as backend:
        first = asyncio.create_task(exchange(client, backend.address))
        assert await within(2, lambda: backend.requests.qsize() == 1)
        second = asyncio.create_task(exchange(client, backend.address))
        third = asyncio.create_task(exchange(client, backend.address))
        assert await within(2, lambda: client.counts == (1, 0, 2))
        await cancel(second)
        assert client.counts == (1, 0, 1)
        await cancel(first)
        assert await third == b"ok"


async def test_a_place_granted_in_the_moment_of_the_cancellation_goes_to_the_next(open_client: Opener) -> None:
    client = open_client(upstream_max_connections=1)
    with Backend(answers(OK)) as backend:
        held = await client.send(backend.address, POST)
        while await held.read():
            pass
        second = asyncio.create_task(exchange(client, backend.address))
        third = asyncio.create_task(exchange(client, backend.address))
        assert await within(2, lambda: client.counts == (1, 0, 2))
        held.close()  # hands the connection to the second, which does not run before it is cancelled
        await cancel(second)
        assert await third == b"ok"
        assert backend.accepted == 1


async def test_a_thousand_cancellations_at_random_moments_leave_nothing(open_client: Opener) -> None:
    client = open_client(upstream_max_connections=20)

    def slow(peer: Peer) -> None:
        while True:
            peer.request()
            peer.drip(STREAM + chunk(b"a") + chunk(b"b") + b"0\r\n\r\n", 20)

    dice = random.Random(20)  # noqa: S311 -- the same moments in every run
    with Backend(slow) as backend:
        assert await exchange(client, backend.address) == b"ab"
        assert await within(2, lambda: client.counts == (1, 1, 0))
        before, tasks_before = open_sockets(), len(asyncio.all_tasks())
        loop = asyncio.get_running_loop()
        for _ in range(20):
            tasks = [asyncio.create_task(exchange(client, backend.address)) for _ in range(50)]
            for task in tasks:
                loop.call_later(dice.expovariate(1 / 0.008), task.cancel)
            await asyncio.wait(tasks)
        opened, idle, waiting = client.counts
        assert opened == idle
        assert waiting == 0
        for _ in range(20):
            assert await exchange(client, backend.address) == b"ab"
        assert len(asyncio.all_tasks()) == tasks_before
        await client.aclose()
        assert await asyncio.to_thread(backend.wait_for, lambda: all(p.sock.fileno() == -1 for p in backend.peers))
        assert open_sockets() <= before - 2  # the one that rested, and the backend's end of it


async def test_closing_the_client_fails_what_is_under_way(open_client: Opener) -> None:
    client = open_client()
    with Backend(waits_before_answering) as backend:
        task = asyncio.create_task(exchange(client, backend.address))
        assert await within(2, lambda: backend.requests.qsize() == 1)
        await client.aclose()
        with pytest.raises(Exception, match="broke off") as caught:
            await task
        assert getattr(caught.value, "reason", "") == "closing"
