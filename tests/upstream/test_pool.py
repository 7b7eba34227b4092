"""Which connection carries the next request, and how many there are."""

import asyncio
import socket
import time

import pytest

from gateway.upstream.address import Address
from gateway.upstream.errors import NeverSent, PoolExhausted
from gateway.upstream.http11 import Http11Client
from gateway.upstream.protocol import Reply, UpstreamRequest
from tests.upstream.backend import OK, Backend, Peer, answers
from tests.upstream.conftest import Opener, within

pytestmark = pytest.mark.anyio

UNTAKEN_BYTES = 32 * 1024 * 1024
"""More than the kernel takes for a peer that does not read."""
POST = UpstreamRequest(b"POST", b"/", [], b"{}")


async def ask(client: Http11Client, address: Address) -> Reply:
    """A whole answer whose connection is still held."""
    reply = await client.send(address, POST)
    assert await reply.read() == b"ok"
    assert await reply.read() == b""
    return reply


async def test_an_idle_connection_is_closed_before_the_backend_would(open_client: Opener) -> None:
    client = open_client(upstream_keepalive_secs=0.05)
    with Backend(answers(OK)) as backend:
        (await ask(client, backend.address)).close()
        (await ask(client, backend.address)).close()
        assert backend.accepted == 1
        assert await within(2, lambda: client.counts == (0, 0, 0))
        assert await asyncio.to_thread(backend.wait_for, lambda: backend.peers[0].left_at is not None)
        (await ask(client, backend.address)).close()
        assert backend.accepted == 2


async def test_an_expired_connection_is_not_used_even_when_the_loop_was_late(open_client: Opener) -> None:
    client = open_client(upstream_keepalive_secs=0.02)
    with Backend(answers(OK)) as backend:
        (await ask(client, backend.address)).close()
        late = time.monotonic() + 0.03
        assert backend.wait_for(lambda: time.monotonic() > late)  # blocks the loop beyond the connection's time
        (await ask(client, backend.address)).close()
        assert backend.accepted == 2


async def test_a_connection_that_is_old_gets_no_further_request_though_it_never_rests_for_long(
    open_client: Opener,
) -> None:
    client = open_client(upstream_max_connection_age_secs=0.02)
    with Backend(answers(OK)) as backend:
        async with asyncio.timeout(20):
            while backend.accepted < 3:
                (await ask(client, backend.address)).close()
        assert backend.accepted == 3


async def test_a_connection_that_has_grown_old_in_its_rest_gets_no_further_request(open_client: Opener) -> None:
    client = open_client(upstream_max_connection_age_secs=0.05)
    with Backend(answers(OK)) as backend:
        (await ask(client, backend.address)).close()
        late = time.monotonic() + 0.06
        assert await asyncio.to_thread(backend.wait_for, lambda: time.monotonic() > late)
        (await ask(client, backend.address)).close()
        assert backend.accepted == 2


async def test_what_runs_on_an_old_connection_goes_on_and_who_waits_gets_a_new_one(open_client: Opener) -> None:
    client = open_client(upstream_max_connection_age_secs=1e-6, upstream_max_connections=1)
    with Backend(answers(OK)) as backend:
        running = await ask(client, backend.address)
        waiting = asyncio.create_task(ask(client, backend.address))
        assert await within(2, lambda: client.counts == (1, 0, 1))
        later = asyncio.get_running_loop().time() + 0.002
        assert await within(2, lambda: asyncio.get_running_loop().time() > later)  # which uvloop tells in ms
        running.close()
        (await waiting).close()
        assert backend.accepted == 2


@pytest.mark.parametrize("none_kept", [{"upstream_keepalive_secs": 0}, {"upstream_max_keepalive": 0}])
async def test_nothing_is_kept_when_told_so(open_client: Opener, none_kept: dict[str, int]) -> None:
    client = open_client(**none_kept)
    with Backend(answers(OK)) as backend:
        for _ in range(2):
            (await ask(client, backend.address)).close()
            assert await within(2, lambda: client.counts == (0, 0, 0))
        assert backend.accepted == 2


async def test_the_connection_used_last_is_used_first(open_client: Opener) -> None:
    client = open_client()
    with Backend(answers(OK)) as backend:
        replies = [await ask(client, backend.address) for _ in range(3)]
        for reply in replies:
            reply.close()
        origin = client._origins[backend.address]
        last = client._pool.take(origin)
        assert last is not None
        client._pool._rest(last)
        held = await ask(client, backend.address)
        assert last not in origin.resting
        held.close()


async def test_a_body_that_nobody_read_does_not_reach_the_next_request(open_client: Opener) -> None:
    client = open_client()
    with Backend(answers(OK)) as backend:
        unread = await client.send(backend.address, POST)
        assert await within(2, lambda: unread.complete)
        unread.close()
        (await ask(client, backend.address)).close()
        assert await unread.read() == b"ok"
        assert await unread.read() == b""
        assert backend.accepted == 1


async def test_a_connection_whose_request_was_not_written_to_its_end_carries_no_other(open_client: Opener) -> None:
    client = open_client()

    def answer_unread(peer: Peer) -> None:
        peer.head_only()
        peer.say(OK)
        peer.until_left()

    with Backend(answer_unread) as backend:
        reply = await client.send(backend.address, UpstreamRequest(b"POST", b"/", [], b"x" * UNTAKEN_BYTES))
        assert await reply.read() == b"ok"
        assert await reply.read() == b""
        reply.close()
        assert await within(2, lambda: client.counts == (0, 0, 0))


async def test_at_most_so_many_rest_and_the_oldest_goes(open_client: Opener) -> None:
    client = open_client(upstream_max_keepalive=2)
    with Backend(answers(OK)) as one, Backend(answers(OK)) as other:
        replies = [await ask(client, one.address), await ask(client, other.address), await ask(client, other.address)]
        for reply in replies:
            reply.close()
        assert await within(2, lambda: client.counts == (2, 2, 0))
        assert client._pool.take(client._origins[one.address]) is None


async def test_no_more_connections_than_allowed_and_waiters_are_served_in_turn(open_client: Opener) -> None:
    client = open_client(upstream_max_connections=3)
    served: list[int] = []

    async def one(number: int, address: Address) -> None:
        reply = await ask(client, address)
        served.append(number)
        assert client.counts[0] <= 3
        reply.close()

    with Backend(answers(OK)) as backend:
        await asyncio.gather(*(one(number, backend.address) for number in range(50)))
        assert sorted(served) == list(range(50))
        assert backend.accepted == 3


async def test_an_idle_connection_to_another_backend_gives_way(open_client: Opener) -> None:
    client = open_client(upstream_max_connections=1)
    with Backend(answers(OK)) as one, Backend(answers(OK)) as other:
        for backend in (one, other, one):
            (await ask(client, backend.address)).close()
        assert (one.accepted, other.accepted) == (2, 1)


async def test_a_busy_connection_to_another_backend_gives_its_place(open_client: Opener) -> None:
    client = open_client(upstream_max_connections=1)
    with Backend(answers(OK)) as one, Backend(answers(OK)) as other:
        held = await ask(client, one.address)
        waiting = asyncio.create_task(ask(client, other.address))
        assert await within(2, lambda: client.counts == (1, 0, 1))
        held.close()
        (await waiting).close()


async def test_waiting_for_a_connection_has_an_end(open_client: Opener) -> None:
    client = open_client(upstream_max_connections=1, upstream_connect_timeout_secs=0.05)
    with Backend(answers(OK)) as backend:
        held = await ask(client, backend.address)
        with pytest.raises(PoolExhausted) as caught:
            await client.send(backend.address, POST)
        assert (caught.value.status, caught.value.retry_after) == (503, 1.0)
        assert client.counts == (1, 0, 0)
        held.close()
        (await ask(client, backend.address)).close()
        assert backend.accepted == 1


async def test_who_leaves_in_the_moment_in_which_it_was_given_a_connection_passes_it_on(open_client: Opener) -> None:
    client = open_client(upstream_max_connections=1)
    with Backend(answers(OK)) as backend:
        held = await ask(client, backend.address)
        waiting = asyncio.create_task(client.send(backend.address, POST))
        assert await within(2, lambda: client.counts == (1, 0, 1))
        held.close()
        waiting.cancel()  # it has the connection, and does not know yet
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert client.counts == (1, 1, 0)
        (await ask(client, backend.address)).close()
        assert backend.accepted == 1


async def test_who_leaves_in_the_moment_in_which_it_was_given_a_place_passes_it_on(
    open_client: Opener, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = open_client(upstream_max_connections=1)
    with Backend(answers(OK)) as one, Backend(answers(OK)) as other:
        held = await ask(client, one.address)
        waiting = asyncio.create_task(client.send(other.address, POST))
        assert await within(2, lambda: client.counts == (1, 0, 1))
        grant = client._pool._grant

        def grant_and_cancel() -> None:
            grant()
            waiting.cancel()

        with monkeypatch.context() as patched:
            patched.setattr(client._pool, "_grant", grant_and_cancel)
            held.close()
            with pytest.raises(asyncio.CancelledError):
                await waiting
        assert (client.counts, other.accepted) == ((0, 0, 0), 0)
        (await ask(client, other.address)).close()


async def test_a_closed_client_takes_no_more(open_client: Opener) -> None:
    client = open_client(upstream_max_connections=1)
    with Backend(answers(OK)) as backend:
        held = await ask(client, backend.address)
        waiting = asyncio.create_task(client.send(backend.address, POST))
        assert await within(2, lambda: client.counts == (1, 0, 1))
        await client.aclose()
        with pytest.raises(NeverSent) as caught:
            await waiting
        assert caught.value.reason == "closing"
        with pytest.raises(NeverSent):
            await client.send(backend.address, POST)
        held.close()
        assert repr(client) == "<Http11Client <Pool 0 open, 0 idle, 0 waiting>>"


async def test_the_kernel_is_told_to_notice_a_vanished_host(open_client: Opener) -> None:
    """Dropped packets need a firewall to show; the options that bound the wait are read back instead."""
    client = open_client()
    with Backend(answers(OK)) as backend:
        (await ask(client, backend.address)).close()
        sock = next(iter(client._pool._open))._sock
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == 15
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 45_000
