"""What is read of an answer before it is decided whether a client sees it."""

import pytest

from gateway.core.errors import BadGatewayError
from gateway.proxy.buffered import BufferedReply, read_bounded
from gateway.proxy.pieces import HOLD_BYTES
from tests.proxy.fakes import JSON_FIELD, FakeReply

pytestmark = pytest.mark.anyio


async def test_an_error_body_is_read_up_to_its_bound() -> None:
    assert await read_bounded(FakeReply(b"a", b"b")) == b"ab"
    assert len(await read_bounded(FakeReply(b"x" * HOLD_BYTES))) == HOLD_BYTES
    with pytest.raises(BadGatewayError, match="too large"):
        await read_bounded(FakeReply(b"x" * HOLD_BYTES, b"x"))


async def test_a_body_that_was_read_is_given_once() -> None:
    reply = BufferedReply(500, [JSON_FIELD], b"{}")
    assert [await reply.read(), await reply.read()] == [b"{}", b""]
    reply.close()
