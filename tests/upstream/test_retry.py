"""What may be sent again? Exactly what the kernel proves that no backend took."""

import asyncio
import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from gateway.core.context import Phase
from gateway.upstream import http11, tcp
from gateway.upstream.connection import BackendConnection
from gateway.upstream.errors import MayHaveRun, NeverSent
from gateway.upstream.http11 import Http11Client
from gateway.upstream.protocol import UpstreamRequest
from tests.core.requests import context
from tests.upstream.backend import OK, PATIENCE_SECS, Backend, Peer, Script, answers
from tests.upstream.conftest import Opener, within

pytestmark = pytest.mark.anyio

POST = UpstreamRequest(b"POST", b"/", [], b"{}")
ROUNDS = 20
"""Tries to have a reset before the kernel's timer acknowledges what was read, 40 ms later."""


async def exchange(client: Http11Client, backend: Backend) -> bytes:
    reply = await client.send(backend.address, POST)
    try:
        return await reply.read()
    finally:
        reply.close()


def answered_then(end: Script) -> Script:
    """Answer three requests, so that the kernel delays its acknowledgements as in daily life, then run `end`."""

    def script(peer: Peer) -> None:
        for _ in range(3):
            peer.request()
            peer.say(OK)
        end(peer)

    return script


class Closes:
    """The end of a script: ends the connection, and says that it has."""

    def __init__(self, how: Script = Peer.close) -> None:
        self.done = threading.Event()
        self._how = how

    def __call__(self, peer: Peer) -> None:
        self._how(peer)
        self.done.set()
        if peer.sock.fileno() >= 0:
            peer.until_left()

    def wait(self) -> bool:
        """Blocks the loop: its selector cannot tell us."""
        return self.done.wait(PATIENCE_SECS)


def half_close(peer: Peer) -> None:
    """As a close of which nothing but the FIN has come yet."""
    peer.sock.shutdown(socket.SHUT_WR)


@contextmanager
def descriptor_to(port: int) -> Iterator[socket.socket]:
    """Another one of the socket here that leads to `port`."""
    for descriptor in Path("/proc/self/fd").iterdir():
        if leads_to(port, int(descriptor.name)):
            with socket.socket(fileno=os.dup(int(descriptor.name))) as beside:
                yield beside
            return
    raise LookupError(port)


def leads_to(port: int, descriptor: int) -> bool:
    with suppress(OSError):  # no socket, or not connected
        sock = socket.socket(fileno=descriptor)
        try:
            return bool(sock.getpeername()[1:2] == (port,))
        finally:
            sock.detach()
    return False


@contextmanager
def no_look_at_the_socket() -> Iterator[None]:
    """A FIN that comes just after the look at the socket is one that the look did not see."""
    with pytest.MonkeyPatch.context() as blind:
        blind.setattr(BackendConnection, "usable", lambda connection: not connection.closed)
        yield


async def warm(client: Http11Client, backend: Backend) -> None:
    for _ in range(3):
        assert await exchange(client, backend) == b"ok"
    assert backend.accepted == 1


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


@pytest.mark.parametrize("how", [Peer.close, half_close], ids=["and its reset", "alone"])
async def test_the_idle_close_race_is_never_sent_and_the_next_attempt_is_fresh(
    open_client: Opener, how: Script
) -> None:
    """The FIN is on its way while the request is written: only the acknowledged bytes tell."""
    closes = Closes(how)
    with Backend(answered_then(closes), answers(OK)) as backend:
        client = open_client()
        await warm(client, backend)
        assert closes.wait()
        with no_look_at_the_socket():
            assert await exchange(client, backend) == b"ok"
        assert backend.accepted == 2
        assert backend.requests.qsize() == 4


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


def read_then_reset(peer: Peer) -> None:
    peer.request()
    peer.reset()


def read_a_part_then_close(peer: Peer) -> None:
    peer.head_only()
    peer.close()  # a reset, because the rest is unread


def read_then_close(peer: Peer) -> None:
    peer.request()
    peer.close()


def close_without_reading(peer: Peer) -> None:
    peer.unread()
    peer.close()


@pytest.mark.parametrize("end", [read_then_reset, read_a_part_then_close, read_then_close, close_without_reading])
async def test_a_request_that_the_backends_kernel_took_may_have_run(open_client: Opener, end: Script) -> None:
    """The resets among them leave `tcpi_bytes_acked` where it was: alone it would call for a replay."""
    with Backend(answered_then(end), answers(OK)) as backend:
        client = open_client()
        await warm(client, backend)
        with pytest.raises(MayHaveRun) as caught:
            await exchange(client, backend)
        assert caught.value.reason in ("reset", "closed")
        assert backend.accepted == 1


async def test_an_end_of_file_behind_a_reset_that_a_write_was_told_of_proves_nothing(open_client: Opener) -> None:
    """So it ends where a reset comes between the two writes that uvloop makes of a large body in one turn."""
    for _ in range(ROUNDS):
        read, go, resets = threading.Event(), threading.Event(), Closes(Peer.reset)

        def reads(peer: Peer, read: threading.Event = read, go: threading.Event = go, resets: Closes = resets) -> None:
            peer.request()
            read.set()
            go.wait(PATIENCE_SECS)
            resets(peer)

        with Backend(answered_then(reads), answers(OK)) as backend:
            client = open_client()
            await warm(client, backend)
            request = asyncio.create_task(exchange(client, backend))
            assert await within(PATIENCE_SECS, read.is_set)
            with descriptor_to(backend.port) as beside:
                go.set()
                assert resets.wait()
                with pytest.raises(ConnectionResetError):
                    beside.send(b"the second write")
                acknowledged = tcp.acknowledged(beside) or 0
            with pytest.raises(MayHaveRun) as caught:
                await request
            assert (caught.value.reason, backend.accepted) == ("closed", 1)
            answered = 1 + 3 * len(backend.requests.get())  # the SYN, and what was answered
        if acknowledged <= answered:
            return  # it was one that no count of bytes tells from a request that never came
    pytest.fail("every reset came too late")


async def test_of_an_end_whose_error_a_write_was_told_of_nothing_is_left_to_prove_it(
    open_client: Opener, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stale connection, and a body too large for one write: nothing ran, and nobody can tell."""
    closes, ended = Closes(), BackendConnection.eof_received
    with Backend(answered_then(closes), answers(OK)) as backend:
        client = open_client()
        await warm(client, backend)
        assert closes.wait()

        with descriptor_to(backend.port) as beside:

            def told_before(connection: BackendConnection) -> bool:
                with pytest.raises(BrokenPipeError):
                    beside.send(b"the second write")
                return ended(connection)

            monkeypatch.setattr(BackendConnection, "eof_received", told_before)
            with no_look_at_the_socket(), pytest.raises(MayHaveRun):
                await exchange(client, backend)
        assert backend.accepted == 1


async def test_a_new_connection_that_is_reset_may_have_taken_the_request(open_client: Opener) -> None:
    with Backend(read_then_reset, answers(OK)) as backend, pytest.raises(MayHaveRun):
        await exchange(open_client(), backend)


async def test_accept_then_reset_is_never_replayed_here(open_client: Opener) -> None:
    """Whether it is NeverSent depends on which came first; the backend gets one connection in either case."""
    with Backend(Peer.reset) as backend:
        with pytest.raises((NeverSent, MayHaveRun)):
            await exchange(open_client(), backend)
        assert backend.accepted == 1


async def test_an_answer_before_the_question_is_given_to_nobody(open_client: Opener) -> None:
    """Whoever speaks first on a new connection is no HTTP server; here the bytes may come before or after ours."""

    def speaks_first(peer: Peer) -> None:
        peer.say(b"220 mail ready\r\n")
        peer.until_left()

    with Backend(speaks_first) as backend, pytest.raises((NeverSent, MayHaveRun)):
        await exchange(open_client(), backend)


async def test_who_spoke_before_the_request_was_written_was_never_sent_it(
    open_client: Opener, monkeypatch: pytest.MonkeyPatch
) -> None:
    spoke = threading.Event()

    def speaks_first(peer: Peer) -> None:
        peer.say(b"220 mail ready\r\n")
        spoke.set()
        peer.until_left()

    made = BackendConnection.connection_made

    def made_late(connection: BackendConnection, transport: asyncio.BaseTransport) -> None:
        made(connection, transport)
        assert spoke.wait(PATIENCE_SECS)  # blocks the loop

    monkeypatch.setattr(BackendConnection, "connection_made", made_late)
    with Backend(speaks_first) as backend:
        client = open_client()
        with pytest.raises(NeverSent) as caught:
            await exchange(client, backend)
        assert (caught.value.reason, backend.requests.qsize()) == ("closed", 0)
        assert await within(PATIENCE_SECS, lambda: client.counts == (0, 0, 0))


async def test_a_new_connection_that_took_nothing_is_left_to_another_replica(
    open_client: Opener, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only one that had rested is replaced here, where it died in its rest: this backend may be going down."""
    asked, closes = threading.Event(), Closes()

    def closes_when_asked(peer: Peer) -> None:
        asked.wait(PATIENCE_SECS)
        closes(peer)

    def blind(_: BackendConnection) -> bool:
        asked.set()
        return closes.wait()  # the loop sees the close after the request was written

    monkeypatch.setattr(http11, "_is_fit_when_new", blind)
    with Backend(closes_when_asked, answers(OK)) as backend:
        with pytest.raises(NeverSent) as caught:
            await exchange(open_client(), backend)
        assert (caught.value.reason, backend.accepted) == ("closed", 1)


async def test_a_flood_of_interim_answers_ends(open_client: Opener) -> None:
    def floods(peer: Peer) -> None:
        peer.request()
        while True:
            peer.say(b"HTTP/1.1 100 Continue\r\n\r\n" * 100)

    with Backend(floods) as backend:
        with pytest.raises(MayHaveRun) as caught:
            await exchange(open_client(), backend)
        assert caught.value.reason == "head_too_large"


@pytest.mark.parametrize("part", [b"a" * 1000, b"x: y\r\n" * 200])
async def test_endless_trailers_and_chunk_extensions_end(open_client: Opener, part: bytes) -> None:
    start = b"0\r\n" if b"\r\n" in part else b"1;"

    def floods(peer: Peer) -> None:
        peer.request()
        peer.say(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n" + start)
        while True:
            peer.say(part)

    with Backend(floods) as backend:
        reply = await open_client().send(backend.address, POST)
        with pytest.raises(MayHaveRun) as caught:
            await reply.read()
        assert caught.value.reason == "malformed"
        reply.close()


async def test_the_backends_key_cannot_break_out_of_its_field(open_client: Opener) -> None:
    with Backend(answers(OK)) as backend:
        client = open_client()
        for request in (
            UpstreamRequest(b"POST", b"/", [(b"authorization", b"Bearer a\r\nx-b: c")]),
            UpstreamRequest(b"POST", b"/", [(b"x", b"a\nb")]),
            UpstreamRequest(b"GET", b"/ HTTP/1.1\r\nhost: b\r\n\r\n"),
            UpstreamRequest(b"GET", b"/a b"),
        ):
            with pytest.raises(ValueError, match="line break"):
                await client.send(backend.address, request)
        assert backend.accepted == 0


async def test_a_request_waits_for_its_answer_from_the_moment_it_has_a_connection(open_client: Opener) -> None:
    ctx, client = context(), open_client()
    request = UpstreamRequest(b"POST", b"/", [], b"{}", ctx)
    with Backend(answers(OK)) as backend:
        (await client.send(backend.address, request)).close()
        assert ctx.phase is Phase.WAITING
    ctx.phase = Phase.CONNECTING
    with pytest.raises(NeverSent):
        await open_client().send(backend.address, request)
    assert ctx.phase is Phase.CONNECTING
