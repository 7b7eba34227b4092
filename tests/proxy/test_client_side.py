"""What goes to the client is noted for those who keep the time."""

import asyncio

import pytest
from anyio.lowlevel import checkpoint

from gateway.core.context import Phase
from gateway.proxy.client_side import EVENT_STREAM_HEAD, ClientSide
from gateway.proxy.watchdog import Watchdog
from tests.core.hand_time import HandTime
from tests.core.requests import FakeConnection, Told, context

pytestmark = pytest.mark.anyio


class Side:
    def __init__(self, told: Told | None = None, *, direct: bool = False) -> None:
        self.time = HandTime()
        self.told = told or Told()
        self.ctx = context(connection=FakeConnection(self.told) if direct else None)
        self.dog = Watchdog(self.ctx, self.time)
        self.client = ClientSide(self.ctx, self.told, self.dog, self.time)


@pytest.mark.parametrize("direct", [True, False], ids=["directly", "by ASGI"])
async def test_a_stream_begins_once_and_no_proxy_on_the_way_may_hold_it_back(*, direct: bool) -> None:
    side = Side(direct=direct)
    for piece in (b"one", b"two"):
        await side.client.pass_events(piece)
        assert not side.told.complete
    assert (side.told.status, side.told.headers) == (200, EVENT_STREAM_HEAD)
    assert side.told.header(b"x-accel-buffering") == b"no"
    assert side.ctx.event_stream
    assert side.ctx.phase is Phase.ANSWERING
    await side.client.pass_events(b"three", last=True)
    assert (side.told.body, side.told.complete) == (b"onetwothree", True)


@pytest.mark.parametrize("direct", [True, False], ids=["directly", "by ASGI"])
async def test_a_stream_of_one_piece_is_begun_and_ended(*, direct: bool) -> None:
    side = Side(direct=direct)
    await side.client.pass_events(b"one", last=True)
    assert (side.told.status, side.told.body, side.told.complete) == (200, b"one", True)


async def test_a_direct_stream_has_the_requests_own_fields_and_is_noted() -> None:
    side = Side(direct=True)
    side.ctx.answer_headers.append((b"x-request-id", b"req1"))
    await side.client.pass_events(b"one")
    assert side.told.headers == [*EVENT_STREAM_HEAD, (b"x-request-id", b"req1")]
    assert (side.ctx.status, side.ctx.bytes_out, side.ctx.answer_started) == (200, 3, True)
    assert not side.ctx.answer_complete
    await side.client.pass_events(b"four", last=True)
    assert (side.ctx.bytes_out, side.ctx.answer_complete) == (7, True)


async def test_a_stream_whose_head_could_not_be_written_has_not_begun() -> None:
    class Refusing(FakeConnection):
        def start(self, *_: object) -> bool:
            raise RuntimeError

    side = Side()
    side.ctx.connection = Refusing()
    with pytest.raises(RuntimeError):
        await side.client.pass_events(b"one")
    assert (side.ctx.answer_started, side.ctx.event_stream, side.ctx.status) == (False, False, 0)


async def test_pieces_go_out_as_they_are_and_the_last_one_ends_the_answer() -> None:
    side = Side()
    await side.client.begin(201, [(b"x", b"y")])
    await side.client.pass_on(b"one")
    assert not side.told.complete
    await side.client.end(b"two")
    assert (side.told.parts, side.told.complete, side.told.status) == ([b"one", b"two"], True, 201)
    assert not side.ctx.event_stream


@pytest.mark.parametrize("direct", [True, False], ids=["directly", "by ASGI"])
async def test_a_whole_answer_states_its_length(*, direct: bool) -> None:
    side = Side(direct=direct)
    await side.client.answer(201, [(b"x", b"y")], b"one")
    assert (side.told.status, side.told.body, side.told.complete) == (201, b"one", True)
    assert (side.told.header(b"x"), side.told.header(b"content-length")) == (b"y", b"3")
    assert side.ctx.phase is Phase.ANSWERING


async def test_a_direct_answer_has_the_requests_own_fields_and_is_noted() -> None:
    side = Side(direct=True)
    side.ctx.answer_headers.append((b"x-request-id", b"req1"))
    await side.client.answer(201, [(b"x", b"y")], b"one")
    assert side.told.header(b"x-request-id") == b"req1"
    assert side.ctx.answer_headers == [(b"x-request-id", b"req1")]
    assert (side.ctx.status, side.ctx.bytes_out) == (201, 3)
    assert side.ctx.answer_started
    assert side.ctx.answer_complete


async def test_an_answer_that_could_not_be_written_has_not_begun() -> None:
    class Refusing(FakeConnection):
        def answer(self, *_: object) -> bool:
            raise RuntimeError

    side = Side()
    side.ctx.connection = Refusing()
    with pytest.raises(RuntimeError):
        await side.client.answer(200, [], b"one")
    assert (side.ctx.answer_started, side.ctx.answer_complete, side.ctx.status) == (False, False, 0)


async def test_a_direct_answer_waits_for_a_client_without_room_and_its_cap_counts() -> None:
    side = Side(Told(slow=asyncio.Event()), direct=True)
    task = asyncio.create_task(side.client.answer(200, [], b"one"))
    await side.told.sending.wait()
    await checkpoint()
    assert side.dog.writing_since == side.time.now
    assert side.told.slow is not None
    side.told.slow.set()
    await task
    assert side.dog.writing_since is None


@pytest.mark.parametrize("direct", [True, False], ids=["directly", "by ASGI"])
@pytest.mark.parametrize("last", [False, True])
async def test_a_write_is_under_way_until_the_client_has_room(*, last: bool, direct: bool) -> None:
    side = Side(Told(slow=asyncio.Event()), direct=direct)
    assert side.told.slow is not None
    side.told.slow.set()
    await side.client.pass_events(b"w")
    side.told.slow.clear()
    task = asyncio.create_task(side.client.pass_events(b"x", last=last))
    await checkpoint()
    await checkpoint()
    assert side.dog.writing_since == side.time.now
    assert side.told.slow is not None
    side.told.slow.set()
    await task
    assert side.dog.writing_since is None


async def test_the_first_tokens_time_is_the_first_ones() -> None:
    side = Side()
    side.time.advance(2)
    side.client.note_token()
    side.time.advance(2)
    side.client.note_token()
    assert side.ctx.first_token_at == 1002.0
    assert side.dog.token_at == 1004.0


async def test_time_for_which_a_client_took_nothing_is_in_no_gap() -> None:
    side = Side()
    gaps: list[float] = []
    side.client.note_gap = gaps.append
    side.client.note_token()
    side.time.advance(1)
    side.dog.writing(side.time.now)
    side.time.advance(30)
    side.dog.written()
    side.time.advance(2)
    side.client.note_token()
    assert gaps == [3.0]
