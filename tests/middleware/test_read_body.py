"""A body is read within its bounds and planned before the request may wait."""

import asyncio
from collections.abc import Sequence

import pytest

from gateway.core.asgi import Headers, Message
from gateway.core.context import CONTEXT_KEY, Phase, RequestContext
from gateway.core.endpoint import Endpoint
from gateway.core.errors import BadRequestError, GatewayError, PayloadTooLargeError, UnsupportedEncodingError
from gateway.core.lifeline import Cut
from gateway.middleware.read_body import ReadBody
from tests.core.requests import CHAT, MODELS, Told, context, nothing_to_receive, scope_of

pytestmark = pytest.mark.anyio

MAX = 10


class Upload:
    """A client's body, piece by piece; behind the last piece nothing comes, or the departure does."""

    def __init__(self, *parts: bytes, ends: bool = True, leaves: bool = False) -> None:
        self._messages: list[Message] = [{"type": "http.request", "body": part, "more_body": True} for part in parts]
        if ends and self._messages:
            self._messages[-1]["more_body"] = False
        if leaves:
            self._messages.append({"type": "http.disconnect"})
        self.asked = 0

    async def __call__(self) -> Message:
        self.asked += 1
        if self._messages:
            return self._messages.pop(0)
        nothing: Message = await asyncio.get_running_loop().create_future()
        return nothing


class Door:
    """The layer with a bound of ten bytes, what it planned and what passed it."""

    def __init__(self, *, timeout: float = 30.0, mistake: GatewayError | None = None) -> None:
        self.planned: list[bytes] = []
        self.passed = 0
        self._mistake = mistake
        self._layer = ReadBody(self._app, MAX, timeout, self._plan)

    async def _plan(self, ctx: RequestContext) -> None:
        if self._mistake is not None:
            raise self._mistake
        self.planned.append(ctx.body)

    async def _app(self, *_: object) -> None:
        self.passed += 1

    async def visit(
        self, upload: Upload, headers: Sequence[tuple[bytes, bytes]] = (), endpoint: Endpoint = CHAT
    ) -> RequestContext:
        self.ctx = context(endpoint)
        scope = {**scope_of(headers=list(headers)), CONTEXT_KEY: self.ctx}
        await self._layer(scope, upload, Told())
        return self.ctx


@pytest.mark.parametrize("parts", [[b"0123456789"], [b"01234", b"", b"56789"], [b"0"] * 10, [b""]])
async def test_a_body_up_to_the_bound_is_planned_whole(parts: list[bytes]) -> None:
    door = Door()
    ctx = await door.visit(Upload(*parts))
    assert door.planned == [b"".join(parts)]
    assert (ctx.bytes_in, ctx.phase, door.passed) == (len(b"".join(parts)), Phase.BODY, 1)


@pytest.mark.parametrize("parts", [[b"0" * 11], [b"0" * 10, b"1"]])
async def test_a_body_over_the_bound_is_refused_when_it_is_reached(parts: list[bytes]) -> None:
    door, upload = Door(), Upload(*parts, ends=False)
    with pytest.raises(PayloadTooLargeError) as refusal:
        await door.visit(upload)
    assert (b"connection", b"close") in refusal.value.headers
    assert refusal.value.should_retry is False
    assert (upload.asked, door.passed) == (len(parts), 0)


async def test_a_stated_length_over_the_bound_is_refused_before_a_byte_is_read() -> None:
    door, upload = Door(), Upload(b"0" * 11)
    with pytest.raises(PayloadTooLargeError, match="larger than 10 bytes"):
        await door.visit(upload, [(b"content-length", b"11")])
    assert upload.asked == 0


async def test_a_stated_length_at_the_bound_passes() -> None:
    door = Door()
    await door.visit(Upload(b"0" * 10), [(b"content-length", b"10")])
    assert door.passed == 1


@pytest.mark.parametrize("coding", [b"gzip", b"br", b"GZIP", b"identity, gzip"])
async def test_a_compressed_body_is_refused_before_a_byte_is_read(coding: bytes) -> None:
    door, upload = Door(), Upload(b"0")
    with pytest.raises(UnsupportedEncodingError) as refusal:
        await door.visit(upload, [(b"content-encoding", coding)])
    assert (refusal.value.status, upload.asked) == (415, 0)
    assert (b"connection", b"close") in refusal.value.headers


@pytest.mark.parametrize("coding", [b"", b" Identity "])
async def test_an_encoding_that_is_none_passes(coding: bytes) -> None:
    door = Door()
    await door.visit(Upload(b"0"), [(b"content-encoding", coding)])
    assert door.passed == 1


async def test_a_mistake_in_the_body_ends_the_request_here() -> None:
    door = Door(mistake=BadRequestError("No model."))
    with pytest.raises(BadRequestError, match="No model"):
        await door.visit(Upload(b"{}"))
    assert door.passed == 0


async def test_own_endpoints_read_for_themselves() -> None:
    door = Door()
    await door.visit(Upload(), [(b"content-length", b"11"), (b"content-encoding", b"gzip")], MODELS)
    assert (door.passed, door.planned) == (1, [])


@pytest.mark.parametrize("parts", [[], [b"01"]])
async def test_a_body_that_stalls_is_cut(parts: list[bytes]) -> None:
    door, upload = Door(timeout=0.01), Upload(*parts, ends=False)
    with pytest.raises(asyncio.CancelledError):
        await door.visit(upload)
    assert door.ctx.lifeline.reason is Cut.BODY_STALLED
    assert door.ctx.lifeline.mended()
    assert upload.asked == len(parts) + 1


async def test_no_timer_is_left_when_the_body_is_there() -> None:
    ctx = await Door(timeout=0.01).visit(Upload(b"0", b"1"))
    await asyncio.wait([asyncio.create_task(nothing_for(0.03))])
    assert ctx.lifeline.reason is None


async def nothing_for(seconds: float) -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(seconds):
            await asyncio.get_running_loop().create_future()


async def test_a_client_that_left_is_a_departure_though_no_watcher_told_of_it() -> None:
    door = Door()
    with pytest.raises(asyncio.CancelledError):
        await door.visit(Upload(b"01", ends=False, leaves=True))
    assert door.ctx.lifeline.reason is Cut.CLIENT_GONE
    assert door.ctx.lifeline.mended()
    assert (door.ctx.disconnect_phase, door.passed) == (Phase.BODY, 0)


async def test_headers_of_no_account_are_not_looked_at() -> None:
    headers: Headers = [(b"content-type", b"text/plain"), (b"x-content-length", b"999")]
    door = Door()
    await door.visit(Upload(b"0"), headers)
    assert door.passed == 1
    with pytest.raises(AssertionError, match="nobody asked"):
        await nothing_to_receive()
