"""How far a request has come is told as it happens, and when it was first on its way is told once."""

import pytest

from gateway.core.context import Phase
from gateway.upstream.errors import NeverSent
from gateway.upstream.http11 import Http11Client
from gateway.upstream.protocol import UpstreamRequest
from gateway.upstream.settings import UpstreamSettings
from tests.core.hand_time import HandTime
from tests.upstream.backend import OK, Backend, answers

pytestmark = pytest.mark.anyio


class Noted:
    """What a request's context is told."""

    phase = Phase.CONNECTING
    sent_at: float | None = None


async def test_when_a_connection_was_first_there_is_told_once() -> None:
    time = HandTime()
    client = Http11Client(UpstreamSettings(), now=time.monotonic)
    noted = Noted()
    request = UpstreamRequest(b"POST", b"/", [], b"{}", progress=noted)
    with Backend(answers(OK)) as backend:
        for _ in range(2):
            reply = await client.send(backend.address, request)
            assert await reply.read() == b"ok"
            reply.close()
            assert (noted.phase, noted.sent_at) == (Phase.WAITING, 1000.0)
            time.advance(5)
    await client.aclose()


async def test_of_a_backend_that_was_never_reached_nothing_is_told() -> None:
    client = Http11Client(UpstreamSettings())
    noted = Noted()
    with Backend(answers(OK)) as backend:
        gone = backend.address
    with pytest.raises(NeverSent):
        await client.send(gone, UpstreamRequest(b"POST", b"/", [], b"{}", progress=noted))
    assert (noted.phase, noted.sent_at) == (Phase.CONNECTING, None)
    await client.aclose()
