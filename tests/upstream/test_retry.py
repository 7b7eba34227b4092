"""What may be sent again? Exactly what the kernel proves that no backend took."""

import asyncio
import threading

import pytest

from gateway.core.context import Phase
from gateway.upstream import http11, tcp
from gateway.upstream.connection import BackendConnection
from gateway.upstream.errors import MayHaveRun, NeverSent
from gateway.upstream.protocol import UpstreamRequest
from tests.core.requests import context
from tests.upstream.backend import OK, PATIENCE_SECS, Backend, Peer, Script, answers
from tests.upstream.conftest import Opener, within
from tests.upstream.ends import (
    Closes,
    answered_then,
    close_without_reading,
    descriptor_to,
    exchange,
    half_close,
    no_look_at_the_socket,
    read_a_part_then_close,
    read_then_close,
    read_then_reset,
    warm,
)

pytestmark = pytest.mark.anyio

ROUNDS = 20
"""Tries to have a reset before the kernel's timer acknowledges what was read, 40 ms later."""


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
