"""A stream is passed on piece by piece, and one that fails never looks like one that did not."""

import asyncio

import orjson
import pytest
from anyio.lowlevel import checkpoint

from gateway.core.context import RequestContext
from gateway.core.endpoint import Dialect
from gateway.core.usage import Usage
from gateway.proxy import stream
from gateway.proxy.client_side import ClientSide
from gateway.proxy.error_answer import StatedError
from gateway.proxy.identity import ForeignAnswerError, Identities
from gateway.proxy.ping import PING, Pinger
from gateway.proxy.stream import StreamBrokenError, relay_stream
from gateway.proxy.watchdog import Watchdog
from gateway.streaming.relay import StreamRelay
from gateway.streaming.usage import UsageCut
from gateway.upstream.errors import MayHaveRun
from tests.core.hand_time import HandTime
from tests.core.requests import FakeConnection, Told, context
from tests.proxy.fakes import FakeReply, events

pytestmark = pytest.mark.anyio


def chunk(text: str, **more: object) -> bytes:
    choice = {"index": 0, "delta": {"content": text}, "finish_reason": None, **more}
    head = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "qwen", "choices": [choice]}
    figures = {"prompt_tokens": 5, "total_tokens": 6, "completion_tokens": 1}
    return b"data: " + orjson.dumps({**head, "usage": figures}) + b"\n\n"


def shown(text: str) -> bytes:
    """The chunk as a client sees it that asked for no usage."""
    return chunk(text).partition(b',"usage"')[0] + b"}\n\n"


DONE = b"data: [DONE]\n\n"
ERROR = b'data: {"error": {"message": "EngineCore", "type": "InternalServerError", "param": null, "code": 500}}\n\n'


class Relay:
    """One stream on its way; the ping's interval is five seconds by hand."""

    def __init__(self, reply: FakeReply, told: Told | None = None, *, pushes: bool = True) -> None:
        self.reply = reply
        self.time = HandTime()
        self.ctx: RequestContext = context(streamed=True)
        self.told = told or Told()
        self.ctx.connection = FakeConnection(self.told) if pushes else None
        self.dog = Watchdog(self.ctx, self.time)
        self.client = ClientSide(self.ctx, self.told, self.dog, self.time)
        self.pinger = Pinger(lambda: self.client.pass_events(PING), 5, self.time)
        self.identities = Identities()

    async def run(self) -> None:
        relay = StreamRelay(Dialect.OPENAI, cut_usage=UsageCut.ALL)
        self.pinger.start()
        try:
            await relay_stream(self.ctx, self.reply, relay, self.client, self.pinger, self.identities)
        finally:
            self.pinger.abandon()


@pytest.mark.parametrize("pushes", [True, False], ids=["pushed", "sent"])
async def test_pieces_pass_as_they_come_and_the_last_one_ends_the_answer(*, pushes: bool) -> None:
    relay = Relay(events(chunk("a"), chunk("b"), DONE), pushes=pushes)
    await relay.run()
    assert relay.told.parts == [shown("a"), shown("b"), DONE]
    assert relay.told.complete
    assert relay.told.header(b"content-type") == b"text/event-stream; charset=utf-8"
    assert relay.ctx.usage == Usage(5, 1)
    assert relay.ctx.first_token_at == 1000.0


async def test_a_stream_that_answers_another_request_is_shown_to_nobody() -> None:
    relay = Relay(events())
    relay.reply.pieces += [chunk("a").replace(b"chatcmpl-1", relay.ctx.request_id.encode()), DONE]
    await relay.run()
    other = Relay(events(b": ping\n\n", chunk("b"), DONE))
    other.identities = relay.identities
    with pytest.raises(ForeignAnswerError):
        await other.run()
    assert b"data" not in other.told.body
    assert other.reply.discarded


async def test_the_body_is_read_to_its_end_so_that_its_connection_can_be_used_again() -> None:
    reply = events(DONE, b"")
    await Relay(reply).run()
    assert reply.reads == 2


async def test_a_body_whose_end_has_come_is_read_no_further() -> None:
    reply = events(chunk("a") + DONE)
    await Relay(reply).run()
    assert reply.reads == 1


async def test_a_tail_that_does_not_come_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "TAIL_SECS", 0.01)
    relay = Relay(events(DONE, hangs=True))
    await asyncio.wait_for(relay.run(), 30)
    assert relay.told.complete
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0


async def test_a_tail_that_fails_is_nobodys_failure() -> None:
    relay = Relay(events(chunk("a"), DONE, MayHaveRun("reset")))
    await relay.run()
    assert relay.told.complete


async def test_an_event_in_two_halves_waits_for_its_second_one() -> None:
    event = chunk("a")
    relay = Relay(events(event[:30], event[30:], DONE))
    await relay.run()
    assert relay.told.parts == [shown("a"), DONE]


@pytest.mark.parametrize("end", [b"", MayHaveRun("cut")], ids=["a clean end", "a reset"])
async def test_a_backend_that_breaks_off_first_leaves_room_for_a_status(end: bytes | MayHaveRun) -> None:
    relay = Relay(events(end))
    with pytest.raises(StreamBrokenError if end == b"" else MayHaveRun):
        await relay.run()
    assert relay.told.status == 0


@pytest.mark.parametrize(
    "rest",
    [
        [b""],
        [MayHaveRun("cut")],
        [chunk("b", finish_reason="abort"), DONE],
        [b"<html>oops</html>\n\n", DONE],
        [b'data: {"choices": [tru\n\n' + DONE],
    ],
    ids=["a clean end", "a reset", "an abort", "html", "broken json"],
)
async def test_a_stream_that_breaks_off_never_ends_well(rest: list[bytes | Exception]) -> None:
    relay = Relay(events(chunk("a"), *rest))
    with pytest.raises((StreamBrokenError, MayHaveRun)):
        await relay.run()
    assert relay.told.parts == [shown("a")]
    assert not relay.told.complete
    assert not relay.ctx.failure_told
    assert relay.ctx.usage == Usage(5, 1)


async def test_what_was_good_in_the_piece_that_failed_still_passes() -> None:
    relay = Relay(events(chunk("a"), chunk("b") + chunk("c", finish_reason="abort") + DONE))
    with pytest.raises(StreamBrokenError):
        await relay.run()
    assert relay.told.parts == [shown("a"), shown("b")]
    assert not relay.told.complete


async def test_the_backends_own_error_passes_once_and_its_done_does_not() -> None:
    relay = Relay(events(chunk("a"), ERROR + DONE))
    with pytest.raises(StreamBrokenError):
        await relay.run()
    assert relay.told.parts == [shown("a"), ERROR]
    assert relay.ctx.failure_told
    assert not relay.told.complete


async def test_a_request_cut_while_the_backends_error_is_on_its_way_has_been_told_of_it() -> None:
    class Stuck(FakeConnection):
        def push(self, data: bytes) -> bool:
            return super().push(data) and data != ERROR

        async def room(self) -> None:
            await asyncio.get_running_loop().create_future()

    relay = Relay(events(chunk("a"), ERROR + DONE))
    relay.ctx.connection = Stuck(relay.told)
    task = asyncio.create_task(relay.run())
    while ERROR not in relay.told.parts:
        await checkpoint()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert relay.ctx.failure_told


async def test_an_error_that_the_stream_consists_of_gets_its_own_status() -> None:
    relay = Relay(events(ERROR + DONE))
    with pytest.raises(StatedError, match="EngineCore") as failure:
        await relay.run()
    assert (failure.value.status, relay.told.status) == (500, 0)


@pytest.mark.parametrize(
    "bad", [chunk("b", finish_reason="abort"), b"<html>\n\n", ERROR], ids=["abort", "html", "error"]
)
@pytest.mark.parametrize("split", [False, True], ids=["in one piece", "in two"])
async def test_what_came_before_a_failure_reaches_the_client_whatever_piece_it_came_in(
    bad: bytes, *, split: bool
) -> None:
    relay = Relay(events(chunk("a"), bad, DONE) if split else events(chunk("a") + bad + DONE))
    with pytest.raises(StreamBrokenError):
        await relay.run()
    assert relay.told.body == shown("a") + (ERROR if bad == ERROR else b"")
    assert relay.ctx.failure_told is (bad == ERROR)
    assert not relay.told.complete


async def test_a_first_event_that_is_none_leaves_room_for_a_status() -> None:
    relay = Relay(events(b"<html>\n\n" + DONE))
    with pytest.raises(StreamBrokenError) as failure:
        await relay.run()
    assert (failure.value.status, failure.value.should_retry, relay.told.status) == (502, False, 0)


async def test_pings_end_before_the_first_event_begins() -> None:
    reply = events(hangs=True)
    relay = Relay(reply)
    task = asyncio.create_task(relay.run())
    await reply.waits.wait()
    for _ in range(2):
        relay.told.sending.clear()
        relay.time.advance(5)
        await relay.told.sending.wait()
    assert relay.told.parts == [PING, PING]
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    relay.time.advance(50)
    assert relay.told.parts == [PING, PING]


async def test_no_ping_follows_the_first_event() -> None:
    relay = Relay(events(chunk("a"), hangs=True))
    task = asyncio.create_task(relay.run())
    await relay.reply.waits.wait()
    assert relay.time.pending == []
    relay.time.advance(50)
    for _ in range(5):
        await checkpoint()
    assert relay.told.parts == [shown("a")]
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


OLD_ERROR = b'data: {"object":"error","message":"Too many.","type":"BadRequestError","param":null,"code":400}\n\n'


@pytest.mark.parametrize("before", [[], [chunk("a")]], ids=["first", "later"])
async def test_an_error_that_the_dialect_does_not_know_is_said_in_the_backends_words(before: list[bytes]) -> None:
    relay = Relay(events(*before, OLD_ERROR + DONE))
    with pytest.raises(StatedError, match="Too many") as failure:
        await relay.run()
    assert (failure.value.status, relay.ctx.failure_told) == (400, False)
    assert relay.told.parts == [shown("a")] * len(before)
    assert not relay.told.complete


async def test_an_error_with_blanks_in_it_is_no_content() -> None:
    spaced = b'data: { "error" : {"message": "EngineCore", "code": 500}}\n\n'
    relay = Relay(events(chunk("a"), spaced + DONE))
    with pytest.raises(StreamBrokenError):
        await relay.run()
    assert relay.told.parts == [shown("a"), spaced]
    assert relay.ctx.failure_told


async def test_behind_a_ping_a_failure_has_no_status_of_its_own() -> None:
    relay = Relay(events(ERROR))
    await relay.client.pass_events(PING)
    with pytest.raises(StreamBrokenError):
        await relay.run()
    assert relay.told.parts == [PING, ERROR]
    assert relay.ctx.failure_told


async def test_the_first_token_is_the_first_that_carries_one() -> None:
    relay = Relay(events(b": keep-alive\n\n", hangs=True))
    task = asyncio.create_task(relay.run())
    await relay.reply.waits.wait()
    assert relay.told.parts == [b": keep-alive\n\n"]
    assert relay.ctx.first_token_at is None
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_figures_that_cannot_be_true_are_not_counted() -> None:
    relay = Relay(events(chunk("a").replace(b'"prompt_tokens":5', b'"prompt_tokens":-5'), DONE))
    await relay.run()
    assert relay.told.complete
    assert relay.ctx.usage is None


class Narrow(FakeConnection):
    """A client's socket that takes one piece at a time."""

    def __init__(self, relay: Relay) -> None:
        super().__init__(relay.told)
        self._relay = relay
        self.waited_since: list[float | None] = []

    def push(self, data: bytes) -> bool:
        super().push(data)
        return False

    async def room(self) -> None:
        self.waited_since.append(self._relay.dog.writing_since)


async def test_a_client_without_room_is_waited_for_under_its_own_cap() -> None:
    relay = Relay(events(chunk("a"), chunk("b"), chunk("c"), DONE))
    relay.ctx.connection = narrow = Narrow(relay)
    await relay.run()
    assert relay.told.parts == [shown("a"), shown("b"), shown("c"), DONE]
    assert narrow.waited_since == [1000.0, 1000.0]
    assert relay.dog.writing_since is None


async def test_bytes_that_go_out_without_a_message_are_counted() -> None:
    relay = Relay(events(chunk("a"), chunk("b"), chunk("c"), DONE))
    await relay.run()
    assert relay.ctx.bytes_out == len(relay.told.body)


async def test_each_token_that_is_pushed_is_progress_and_a_comment_is_none() -> None:
    class Later(FakeConnection):
        """Each piece takes a second."""

        def push(self, data: bytes) -> bool:
            seen.append((data, relay.dog.token_at))
            relay.time.advance(1)
            return super().push(data)

    seen: list[tuple[bytes, float | None]] = []
    comment, broken = b": still here\n\n", chunk("e").replace(b"}\n\n", b"\n\n")
    relay = Relay(events(chunk("a"), chunk("b"), chunk("c"), comment, chunk("d") + comment, comment, broken))
    relay.ctx.connection = Later(relay.told)
    with pytest.raises(StreamBrokenError):
        await relay.run()
    assert seen == [
        (shown("b"), 1000.0),
        (shown("c"), 1001.0),
        (comment, 1001.0),
        (shown("d") + comment, 1003.0),
        (comment, 1003.0),
    ]
    assert relay.ctx.first_token_at == 1000.0
    assert relay.ctx.bytes_out == len(relay.told.body)


@pytest.mark.parametrize("pushes", [True, False], ids=["pushed", "sent"])
async def test_every_piece_with_tokens_but_the_first_is_a_gap(*, pushes: bool) -> None:
    class Later(FakeReply):
        """Between two of its pieces is a second."""

        async def read(self) -> bytes:
            relay.time.advance(1)
            return await super().read()

    relay = Relay(Later(chunk("a"), chunk("b"), b": still here\n\n", chunk("c") + chunk("d"), DONE), pushes=pushes)
    gaps: list[float] = []
    relay.client.note_gap = gaps.append
    await relay.run()
    assert gaps == [1.0, 2.0]  # a comment carries no token, and what comes at once is one piece


async def test_why_the_model_ended_is_noted() -> None:
    relay = Relay(events(chunk("a"), chunk("b", finish_reason="length"), DONE))
    await relay.run()
    assert relay.ctx.finish_reason == "length"
