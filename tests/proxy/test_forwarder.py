"""From a planned request to its answer's end: whatever happens, the reply is closed and no task or timer is left."""

import asyncio
import contextlib
from dataclasses import replace
from typing import Any

import orjson
import pytest
from anyio.lowlevel import checkpoint

from gateway.backends.availability import Choice
from gateway.core.context import RequestContext
from gateway.core.endpoint import Endpoint
from gateway.core.errors import BadGatewayError, GatewayError, UnavailableError
from gateway.core.lifeline import Cut
from gateway.observability.gaps import Gaps
from gateway.observability.metrics import Metrics
from gateway.payload.settings import PayloadSettings
from gateway.proxy.error_answer import StatedError
from gateway.proxy.fallback import Fallbacks
from gateway.proxy.forwarder import Forwarder, StreamMeans
from gateway.proxy.ping import PING
from gateway.proxy.planner import Planner
from gateway.proxy.settings import ProxySettings
from gateway.proxy.stream import StreamBrokenError
from gateway.routing.registry import Registry
from gateway.upstream.errors import MayHaveRun, NeverSent
from tests.core.requests import CHAT, FakeConnection, Told, context
from tests.proxy.fakes import BACKENDS, GROUP, Conductor, FakeReply, events, plan_of, whole

pytestmark = pytest.mark.anyio

ANSWER = b'{"object":"chat.completion","model":"qwen","choices":[]}'
ERROR = b'{"error":{"message":"Too long.","type":"BadRequestError","param":null,"code":400}}'
COUNTS = replace(CHAT, upstream_path=b"/tokenize", streams=False, uses_engine=False)
ALIAS = "Qwen/Qwen2.5-7B-Instruct"
DONE = b"data: [DONE]\n\n"


def chunk(text: str, model: str = "qwen") -> bytes:
    choice = {"index": 0, "delta": {"content": text}, "finish_reason": None}
    head = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": model, "choices": [choice]}
    return b"data: " + orjson.dumps(head) + b"\n\n"


class Way:
    """One request's way through a forwarder; backends answer from the script, chat0 first."""

    def __init__(self, *replies: FakeReply | Exception, told: Told | None = None, **caps: float) -> None:
        self.replies = [reply for reply in replies if isinstance(reply, FakeReply)]
        self.conductor = Conductor({"chat0": list(replies)})
        self.time, self.client = self.conductor.time, self.conductor.client
        self.told = told or Told()
        planner = Planner(Registry([GROUP]), PayloadSettings(), lambda _: None)
        self.forwarder = Forwarder(
            self.conductor.dispatcher,
            Fallbacks([GROUP], planner, self.conductor.dispatcher, self.conductor.metrics),
            ProxySettings.model_validate(caps),
            client_write_secs=caps.get("client_write_secs", 60.0),
            streams=StreamMeans(1 << 20, Gaps(Metrics()).of),
            clock=self.time,
        )
        self.before = asyncio.all_tasks()

    async def run(
        self, asked: str = "qwen", endpoint: Endpoint = CHAT, *, streamed: bool = False, **peeked: Any
    ) -> RequestContext:
        plan = plan_of(asked, **peeked)
        self.ctx = context(endpoint, plan=plan, streamed=streamed, group="chat", connection=FakeConnection(self.told))
        await self.forwarder.forward(self.ctx, self.told)
        return self.ctx

    async def settled(self) -> None:
        """Every reply was closed, and nothing of the request is left in the loop."""
        assert [reply.closed >= 1 for reply in self.replies] == [True] * len(self.replies)
        for _ in range(3):
            await checkpoint()
        assert asyncio.all_tasks() <= self.before
        assert self.time.pending == []
        assert self.conductor.idle


async def test_a_whole_answer_passes() -> None:
    way = Way(whole(ANSWER))
    await way.run()
    assert (way.told.status, way.told.body, way.told.complete) == (200, ANSWER, True)
    await way.settled()


@pytest.mark.parametrize("name", ["qwen", ALIAS])
async def test_a_stream_passes_under_the_name_that_was_asked_for(name: str) -> None:
    way = Way(events(chunk("a"), DONE))
    await way.run(name, streamed=True, stream=True)
    assert way.told.parts == [chunk("a", name), DONE]
    await way.settled()


async def test_a_stream_is_one_in_any_letters() -> None:
    way = Way(FakeReply(chunk("a"), DONE, headers=[(b"content-type", b"Text/Event-Stream; charset=utf-8")]))
    await way.run(streamed=True, stream=True)
    assert way.told.parts == [chunk("a"), DONE]
    await way.settled()


@pytest.mark.parametrize("streamed", [False, True])
async def test_a_backends_error_keeps_its_status_and_words(*, streamed: bool) -> None:
    way = Way(whole(ERROR, 400))
    ctx = await way.run(streamed=streamed)
    assert (way.told.status, way.told.body, way.told.complete) == (400, ERROR, True)
    assert way.told.header(b"content-length") == b"%d" % len(ERROR)
    assert ctx.outcome == "backend_400"
    await way.settled()


@pytest.mark.parametrize("reply", [whole(ANSWER), FakeReply(b"<html>", headers=[])], ids=["json", "no type"])
async def test_a_stream_that_is_none_is_a_502(reply: FakeReply) -> None:
    way = Way(reply)
    with pytest.raises(BadGatewayError, match="no event stream"):
        await way.run(streamed=True)
    assert way.told.status == 0
    await way.settled()


@pytest.mark.parametrize(
    ("reply", "failure"),
    [
        (MayHaveRun("reset"), MayHaveRun),
        (events(chunk("a"), MayHaveRun("cut")), MayHaveRun),
        (events(chunk("a")), StreamBrokenError),
        (whole(b"<html>", 500), BadGatewayError),
        (whole(ERROR, 401), BadGatewayError),
    ],
    ids=["reset", "cut", "no end", "html", "our key"],
)
async def test_a_failure_is_raised_and_nothing_is_left(reply: FakeReply | Exception, failure: type[Exception]) -> None:
    way = Way(reply, stream_ping_secs=5)
    with pytest.raises(failure):
        await way.run(streamed=True)
    assert not way.told.complete
    await way.settled()


async def test_no_backend_at_all_leaves_nothing_either() -> None:
    way = Way(NeverSent("refused"), stream_ping_secs=5)
    way.client._script.update(chat1=[NeverSent("dns")], chat2=[NeverSent("dns")])
    with pytest.raises(UnavailableError):
        await way.run(streamed=True)
    await way.settled()


async def test_pings_go_out_while_a_backend_is_awaited_and_a_later_error_stays_in_the_stream() -> None:
    way = Way(stream_ping_secs=5)
    task = asyncio.create_task(way.run(streamed=True))
    await way.client.waits.wait()
    way.told.sending.clear()
    way.time.advance(5)
    await way.told.sending.wait()
    await checkpoint()
    assert (way.told.status, way.told.parts) == (200, [PING])
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await way.settled()


async def test_behind_a_ping_a_backends_error_has_no_second_head() -> None:
    class Late(FakeReply):
        async def read(self) -> bytes:
            while not way.time.pending:
                await checkpoint()
            way.time.advance(5)
            while not way.told.parts:
                await checkpoint()
            return await super().read()

    way = Way(Late(ERROR, status=400), stream_ping_secs=5)
    with pytest.raises(StatedError, match="Too long") as failure:
        await way.run(streamed=True)
    assert failure.value.outcome == "backend_400"
    assert (way.told.status, way.told.parts) == (200, [PING])
    await way.settled()


@pytest.mark.parametrize(("status", "said"), [(400, None), (500, b"false")])
async def test_an_engines_failure_may_have_cost_its_time_and_is_not_to_be_repeated(status: int, said: bytes) -> None:
    way = Way(whole(ERROR, status, headers=[(b"date", b"now"), *whole(b"").headers]))
    await way.run()
    assert (way.told.status, way.told.header(b"x-should-retry")) == (status, said)


async def test_an_error_that_comes_before_the_first_ping_keeps_its_status() -> None:
    way = Way(whole(ERROR, 400), stream_ping_secs=5)
    await way.run(streamed=True)
    assert (way.told.status, way.told.body) == (400, ERROR)
    await way.settled()


async def test_a_whole_answer_is_awaited_without_pings() -> None:
    way = Way(stream_ping_secs=5)
    task = asyncio.create_task(way.run())
    await way.client.waits.wait()
    way.time.advance(50)
    await checkpoint()
    assert way.told.status == 0
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await way.settled()


@pytest.mark.parametrize(
    ("replies", "streamed"),
    [([], True), ([events(hangs=True)], True), ([events(chunk("a"), hangs=True)], True), ([], False)],
    ids=["connecting", "before the first token", "in a stream", "whole"],
)
async def test_a_cut_in_any_phase_leaves_nothing(replies: list[FakeReply], *, streamed: bool) -> None:
    way = Way(*replies, stream_ping_secs=5)
    waits = replies[0].waits if replies else way.client.waits
    task = asyncio.create_task(way.run(streamed=streamed))
    await waits.wait()
    way.ctx.lifeline.cut(Cut.CLIENT_GONE)
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not way.told.complete
    await way.settled()


@pytest.mark.parametrize(
    ("caps", "reply", "reason"),
    [
        ({"max_request_secs": 0.01}, events(chunk("a"), hangs=True), Cut.LIFETIME),
        ({"first_token_timeout_secs": 0.01}, events(hangs=True), Cut.FIRST_TOKEN),
        ({"stream_idle_timeout_secs": 0.01}, events(chunk("a"), hangs=True), Cut.IDLE),
    ],
)
async def test_a_request_is_cut_by_the_cap_that_it_ran_into(
    caps: dict[str, Any], reply: FakeReply, reason: Cut
) -> None:
    way = Way(reply, **caps)
    task = asyncio.create_task(way.run(streamed=True))
    await reply.waits.wait()
    way.time.now += 0.01  # the loop's own timer fires after so long, and then looks at the clock
    with pytest.raises(asyncio.CancelledError):
        await task
    assert way.ctx.lifeline.reason is reason


@pytest.mark.parametrize("streamed", [False, True])
async def test_a_client_that_reads_nothing_is_cut_whatever_it_asked_for(*, streamed: bool) -> None:
    reply = events(chunk("a"), DONE) if streamed else whole(ANSWER)
    way = Way(reply, told=Told(slow=asyncio.Event()), client_write_secs=0.01)
    task = asyncio.create_task(way.run(streamed=streamed))
    while not way.told.parts:
        await checkpoint()
    way.time.now += 0.01
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(asyncio.shield(task), 30)
    assert way.ctx.lifeline.reason is Cut.SLOW_CLIENT
    await way.settled()


def on_trial(way: Way) -> list[str]:
    """Make the next request the trial of chat0; what the breaker is told from here on."""
    way.conductor.availability.choices["chat"] = Choice(BACKENDS[1:], trial=BACKENDS[0])
    return way.conductor.breaker.told


@pytest.mark.parametrize(
    ("reply", "streamed", "told"),
    [
        (whole(ANSWER), False, "succeeded"),
        (events(chunk("a"), DONE), True, "succeeded"),
        (whole(b"<html>", headers=[]), False, "failed"),
        (FakeReply(b'{"a":', MayHaveRun("cut"), content_length=9), False, "failed"),
        (whole(b'{"object":"chat.completion","choices":[{"finish_reason":"abort"}]}'), False, "failed"),
        (whole(b'{"error":{"message":"EngineCore","code":500}}'), False, "failed"),
        (events(chunk("a")), True, "failed"),
        (events(chunk("a"), MayHaveRun("reset")), True, "failed"),
        (events(b'data: {"error": {"message": "EngineCore", "code": 500}}\n\n'), True, "failed"),
        (events(b'data: {"error": {"message": "logprobs", "code": 400}}\n\n'), True, None),
        (whole(ERROR, 400), False, None),
        (whole(ERROR, 500), False, "failed"),
    ],
    ids=[
        "whole", "stream", "html", "cut body", "abort", "error in a 200", "no end", "reset", "in-band error",
        "in-band refusal", "refusal", "engine error",
    ],
)  # fmt: skip
async def test_how_an_answer_ends_is_told_to_the_breaker(reply: FakeReply, told: str | None, *, streamed: bool) -> None:
    way = Way(reply)
    with contextlib.suppress(GatewayError):
        await way.run(streamed=streamed)
    assert way.conductor.breaker.told == ([f"chat0 {told}"] if told else [])
    assert way.conductor.board.answers(0) == (told == "succeeded")
    await way.settled()


@pytest.mark.parametrize(
    ("reply", "told"),
    [
        (whole(b'{"count":1,"max_model_len":8,"tokens":[1]}'), ["chat0 succeeded lightly"]),
        (whole(ERROR, 400), []),
        (whole(ERROR, 500), ["chat0 failed lightly"]),
        (MayHaveRun("timeout"), ["chat0 failed lightly"]),
        (FakeReply(b'{"a":', MayHaveRun("cut"), content_length=9), ["chat0 failed lightly"]),
    ],
    ids=["count", "refusal", "failure", "hangs", "cut body"],
)
async def test_what_needs_no_engine_is_no_sign_of_its_life_and_may_fail_all_the_same(
    reply: FakeReply | Exception, told: list[str]
) -> None:
    way = Way(reply)
    with contextlib.suppress(GatewayError):
        await way.run(endpoint=COUNTS)
    board = way.conductor.board
    assert (way.conductor.breaker.told, board.answers(0), board.in_flight(0)) == (told, 0, 0)
    await way.settled()


async def test_what_needs_no_engine_does_not_wait_in_it() -> None:
    reply = FakeReply(b'{"count":', hangs=True, content_length=12)
    way = Way(reply)
    task = asyncio.create_task(way.run(endpoint=COUNTS))
    await reply.waits.wait()
    assert way.conductor.board.in_flight(0) == 0
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await way.settled()


async def test_what_needs_no_engine_is_no_trial_and_goes_where_it_would_have_gone() -> None:
    way = Way(whole(b'{"count":1}'))
    way.conductor.availability.choices["chat"] = Choice(BACKENDS[:1], trial=BACKENDS[0])
    await way.run(endpoint=COUNTS)
    assert (way.told.status, way.conductor.breaker.told) == (200, ["chat0 succeeded lightly"])
    assert not way.conductor.breaker.trial_taken
    await way.settled()


async def test_a_trial_of_a_stream_is_decided_at_its_first_token() -> None:
    reply = events(chunk("a"), hangs=True)
    way = Way(reply)
    told = on_trial(way)
    task = asyncio.create_task(way.run(streamed=True))
    await reply.waits.wait()
    assert told == ["chat0 succeeded on trial"]
    assert way.conductor.board.running[0] == 1
    way.ctx.lifeline.cut(Cut.CLIENT_GONE)
    with pytest.raises(asyncio.CancelledError):
        await task
    assert told == ["chat0 succeeded on trial"]
    await way.settled()


async def test_a_stream_that_breaks_off_after_its_trial_is_a_failure_like_any_other() -> None:
    way = Way(events(chunk("a"), MayHaveRun("cut")))
    told = on_trial(way)
    with pytest.raises(MayHaveRun):
        await way.run(streamed=True)
    assert told == ["chat0 succeeded on trial", "chat0 failed"]


async def test_a_trial_of_a_whole_answer_is_decided_at_its_end() -> None:
    way = Way(whole(ANSWER))
    told = on_trial(way)
    await way.run()
    assert told == ["chat0 succeeded on trial"]
    await way.settled()


@pytest.mark.parametrize("streamed", [False, True])
async def test_a_client_that_leaves_before_anything_came_gives_its_trial_back(*, streamed: bool) -> None:
    reply = events(hangs=True) if streamed else FakeReply(hangs=True)
    way = Way(reply)
    told = on_trial(way)
    task = asyncio.create_task(way.run(streamed=streamed))
    await reply.waits.wait()
    way.ctx.lifeline.cut(Cut.CLIENT_GONE)
    with pytest.raises(asyncio.CancelledError):
        await task
    assert told == ["chat0 neutral on trial"]
    await way.settled()


@pytest.mark.parametrize(
    ("reason", "told"),
    [
        (Cut.IDLE, ["chat0 failed"]),
        (Cut.FIRST_TOKEN, ["chat0 failed"]),
        (Cut.LIFETIME, []),
        (Cut.SLOW_CLIENT, []),
        (Cut.SHUTDOWN, []),
        (Cut.CLIENT_GONE, []),
    ],
)
async def test_a_cut_blames_the_backend_for_its_silence_alone(reason: Cut, told: list[str]) -> None:
    reply = events(chunk("a"), hangs=True)
    way = Way(reply)
    task = asyncio.create_task(way.run(streamed=True))
    await reply.waits.wait()
    way.ctx.lifeline.cut(reason)
    with pytest.raises(asyncio.CancelledError):
        await task
    assert way.conductor.breaker.told == told


async def test_a_client_that_cannot_be_written_to_blames_nobody() -> None:
    way = Way(whole(ANSWER))
    way.told.status = 200  # the fake connection refuses a second head, as the server does
    with pytest.raises(AssertionError):
        await way.run()
    assert way.conductor.breaker.told == []
    await way.settled()


async def test_a_stream_that_had_a_token_of_late_is_a_sign_of_life_of_its_backend() -> None:
    reply = events(chunk("a"), hangs=True)
    way = Way(reply)
    task = asyncio.create_task(way.run(streamed=True))
    await reply.waits.wait()
    came = way.time.now
    way.time.now += 3
    way.forwarder._rounds._walk()
    assert way.conductor.board.tokens == [came, 0.0, 0.0]
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
