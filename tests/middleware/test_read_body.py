"""A body is read within its bounds and planned before the request may wait."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress

import pytest

from gateway.core.asgi import Headers, Message, Receive, fields_of
from gateway.core.context import CONTEXT_KEY, Phase, RequestContext
from gateway.core.endpoint import Endpoint
from gateway.core.errors import BadRequestError, GatewayError, PayloadTooLargeError, UnsupportedEncodingError
from gateway.core.lifeline import Cut
from gateway.middleware.read_body import NoRoomError, ReadBody
from gateway.middleware.settings import MiddlewareSettings
from tests.core.requests import CHAT, MODELS, FakeConnection, Told, context, nothing_to_receive

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

    def __init__(
        self,
        *,
        max_bytes: int = MAX,
        held: int = 1000,
        timeout: float = 30.0,
        total: float = 3000.0,
        mistake: GatewayError | None = None,
    ) -> None:
        self.planned: list[bytes] = []
        self.passed = 0
        self.mistake = mistake
        self.booked: int | None = None
        self.proceed: asyncio.Event | None = None
        bounds = MiddlewareSettings.model_construct(  # smaller than an operator may choose them
            max_request_body_bytes=max_bytes,
            max_held_body_bytes=held,
            client_body_timeout_secs=timeout,
            client_body_total_secs=total,
        )
        self._layer = ReadBody(self._app, bounds, self._plan)

    async def _plan(self, ctx: RequestContext) -> None:
        if self.mistake is not None:
            raise self.mistake
        self.planned.append(ctx.body)
        if self.booked is not None:
            ctx.bytes_in = self.booked

    async def _app(self, *_: object) -> None:
        self.passed += 1
        if self.proceed is not None:
            await self.proceed.wait()

    async def visit(
        self,
        upload: Receive,
        headers: Sequence[tuple[bytes, bytes]] = (),
        endpoint: Endpoint = CHAT,
        connection: FakeConnection | None = None,
    ) -> RequestContext:
        self.ctx = context(endpoint, fields=fields_of(list(headers)), connection=connection)
        await self._layer({CONTEXT_KEY: self.ctx}, upload, Told())
        return self.ctx


@pytest.mark.parametrize("parts", [[b"0123456789"], [b"01234", b"", b"56789"], [b"0"] * 10, [b""]])
async def test_a_body_up_to_the_bound_is_planned_whole(parts: list[bytes]) -> None:
    door = Door()
    ctx = await door.visit(Upload(*parts))
    assert door.planned == [b"".join(parts)]
    assert (ctx.bytes_in, ctx.phase, door.passed) == (len(b"".join(parts)), Phase.BODY, 1)


@pytest.mark.parametrize("body", [b"", b"0123456789"])
async def test_a_body_that_is_there_is_planned_without_being_asked_for(body: bytes) -> None:
    door = Door()
    ctx = await door.visit(nothing_to_receive, connection=FakeConnection(body=body))
    assert (door.planned, ctx.bytes_in, ctx.phase, door.passed) == ([body], len(body), Phase.BODY, 1)


async def test_a_body_that_is_there_is_held_to_the_same_bounds() -> None:
    door = Door(held=15)
    with pytest.raises(PayloadTooLargeError):
        await door.visit(nothing_to_receive, connection=FakeConnection(body=b"0" * 11))
    with pytest.raises(UnsupportedEncodingError):
        await door.visit(nothing_to_receive, [(b"content-encoding", b"br")], connection=FakeConnection(body=b"0"))
    door.proceed = asyncio.Event()
    first = asyncio.create_task(door.visit(nothing_to_receive, connection=FakeConnection(body=b"0" * 10)))
    await asyncio.sleep(0)  # noqa: TID251 -- a turn of the loop: the first body is held now
    with pytest.raises(NoRoomError):
        await door.visit(nothing_to_receive, connection=FakeConnection(body=b"0" * 6))
    door.proceed.set()
    await first
    await door.visit(nothing_to_receive, connection=FakeConnection(body=b"0" * 10))
    assert door.passed == 2


async def test_a_body_that_is_still_coming_is_received() -> None:
    door = Door()
    await door.visit(Upload(b"0", b"1"), connection=FakeConnection())
    assert door.planned == [b"01"]


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


@pytest.mark.parametrize("coding", [b"", b" Identity ", b"identity, Identity"])
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


class Drip:
    """A client's body that comes byte by byte, each before it could be called stalled, and has no end."""

    def __init__(self, pace: float) -> None:
        self._pace = pace
        self.sent = 0

    async def __call__(self) -> Message:
        await asyncio.sleep(self._pace)  # noqa: TID251 -- a slow client is slow in real time
        self.sent += 1
        return {"type": "http.request", "body": b"0", "more_body": True}


async def test_a_body_that_drips_for_ever_is_cut_when_its_whole_time_is_over() -> None:
    door, drip = Door(max_bytes=1000, total=0.5), Drip(0.005)
    with pytest.raises(asyncio.CancelledError):
        await door.visit(drip)
    assert door.ctx.lifeline.reason is Cut.BODY_STALLED
    assert door.ctx.lifeline.mended()
    assert drip.sent > 1


async def test_a_slow_body_that_goes_on_is_not_cut() -> None:
    door = Door(max_bytes=20, timeout=1.0)

    class Steady(Drip):
        async def __call__(self) -> Message:
            await super().__call__()
            return {"type": "http.request", "body": b"0", "more_body": self.sent < 12}  # 1.2 s in all

    await door.visit(Steady(0.1))
    assert (door.planned, door.passed) == ([b"0" * 12], 1)


async def test_a_request_is_not_cut_for_its_body_once_that_is_there() -> None:
    door = Door(timeout=0.01)
    door.proceed = asyncio.Event()
    visit = asyncio.create_task(door.visit(Upload(b"0", b"1")))
    other = asyncio.create_task(
        Door(timeout=0.01).visit(Upload(ends=False))
    )  # when it was cut, the first one's time is over
    with pytest.raises(asyncio.CancelledError):
        await other
    await asyncio.wait([visit], timeout=0.03)
    door.proceed.set()
    assert (await visit).lifeline.reason is None


# How much is held.


async def test_the_body_that_goes_beyond_what_is_held_is_refused_with_503() -> None:
    door = Door(held=15)
    door.proceed = asyncio.Event()
    first = asyncio.create_task(door.visit(Upload(b"0" * 10)))
    await asyncio.sleep(0)  # noqa: TID251 -- a turn of the loop: the first body is held now
    second = Upload(b"0" * 5, b"1", ends=False)
    with pytest.raises(NoRoomError) as refusal:
        await door.visit(second)
    assert (refusal.value.status, refusal.value.code, refusal.value.retry_after) == (503, "too_many_bodies", 1.0)
    assert (b"connection", b"close") in refusal.value.headers
    assert (second.asked, door.passed) == (2, 1)
    assert not first.done()
    third = asyncio.create_task(door.visit(Upload(b"0" * 5)))
    await asyncio.sleep(0)  # noqa: TID251 -- a turn of the loop: there was room for it
    assert door.passed == 2
    door.proceed.set()
    await asyncio.gather(first, third)


@pytest.mark.parametrize("end", ["answered", "refused", "mistaken", "too large", "stalled", "left"])
async def test_what_was_held_is_free_again_however_a_request_ends(end: str) -> None:
    door = Door(held=10, timeout=0.01, mistake=BadRequestError("No model.") if end == "mistaken" else None)
    upload = {
        "too large": Upload(b"0" * 10, b"1"),
        "stalled": Upload(b"0" * 10, ends=False),
        "left": Upload(b"0" * 10, ends=False, leaves=True),
    }.get(end, Upload(b"0" * 10))
    if end == "refused":
        door.proceed = asyncio.Event()
        running = asyncio.create_task(door.visit(Upload(b"0" * 10)))
        await asyncio.sleep(0)  # noqa: TID251 -- a turn of the loop: the first body is held now
        with pytest.raises(NoRoomError):
            await door.visit(Upload(b"0" * 10))
        door.proceed.set()
        await running
    else:
        with suppress(GatewayError, asyncio.CancelledError):
            await door.visit(upload)
        assert door.ctx.lifeline.mended() or door.ctx.lifeline.reason is None
    door.mistake = None
    await door.visit(Upload(b"0" * 10))
    assert door.planned[-1] == b"0" * 10


@pytest.mark.parametrize("parts", [None, [b"0" * 10], [b"01234", b"56789"]])
async def test_what_was_held_is_free_again_whatever_the_log_is_told_of_it(parts: list[bytes] | None) -> None:
    door = Door(held=10)
    door.booked = 3
    for _ in range(2):
        if parts is None:
            await door.visit(nothing_to_receive, connection=FakeConnection(body=b"0" * 10))
        else:
            await door.visit(Upload(*parts))
    assert door.passed == 2


async def test_what_is_only_announced_takes_no_room_from_others() -> None:
    door = Door(held=10)
    waiting = asyncio.create_task(door.visit(Upload(ends=False), [(b"content-length", b"10")]))
    await asyncio.sleep(0)  # noqa: TID251 -- a turn of the loop: it waits for its body now
    await door.visit(Upload(b"0" * 10))
    assert door.passed == 1
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting


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
