"""A group that is down or overloaded is stood in for by its fallback, which says so and bears the name asked for."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import orjson
import pytest
from anyio.lowlevel import checkpoint

from gateway.backends.availability import Choice
from gateway.core.clock import SystemClock
from gateway.core.context import RequestContext
from gateway.core.endpoint import Endpoint, ModelKind
from gateway.core.errors import UnavailableError
from gateway.core.fleet import BackendGroup
from gateway.observability.families.backends import FALLBACKS
from gateway.observability.gaps import Gaps
from gateway.observability.metrics import Metrics
from gateway.payload.peek import peek
from gateway.payload.settings import PayloadSettings
from gateway.proxy.fallback import Fallbacks
from gateway.proxy.forwarder import Forwarder, StreamMeans
from gateway.proxy.planner import Plan, Planner
from gateway.proxy.seats import SeatLimits
from gateway.proxy.settings import ProxySettings
from gateway.routing.registry import Registry, Route
from gateway.store.memory import MemoryStore
from gateway.store.protocol import Seat
from gateway.store.settings import StoreSettings
from gateway.upstream.errors import MayHaveRun, NeverSent
from tests.core.requests import CHAT, EMBEDDINGS, POST, FakeConnection, Told, context
from tests.proxy.fakes import BACKENDS, Conductor, FakeReply, events, whole

pytestmark = pytest.mark.anyio

QWEN = BackendGroup("chat", ModelKind.CHAT, "qwen", ("alias",), BACKENDS[:1], fallback="text2sql")
SQL = BackendGroup("text2sql", ModelKind.TEXT2SQL, "arctic", (), BACKENDS[1:2], fallback="chat")
TEXT = replace(CHAT, kinds=(ModelKind.CHAT, ModelKind.TEXT2SQL))
PINNED = Endpoint(
    "/v1/text2sql", POST, upstream_path=b"/v1/chat/completions", kinds=(ModelKind.TEXT2SQL,), pinned=True, streams=True
)
COUNTING = Endpoint("/v1/tokenize", POST, upstream_path=b"/tokenize", kinds=tuple(ModelKind), uses_engine=False)
ANSWER = b'{"object":"chat.completion","model":"arctic","choices":[]}'
NO_TOOLS = b'{"error":{"message":"\\"auto\\" tool choice requires --tool-call-parser","code":400}}'
DONE = b"data: [DONE]\n\n"


def refusal() -> FakeReply:
    return whole(b'{"error":{"message":"The engine is currently busy"}}', 503)


def chunk(model: str) -> bytes:
    choice = {"index": 0, "delta": {"content": "a"}, "finish_reason": None}
    return (
        b"data: "
        + orjson.dumps({"id": "c", "object": "o", "created": 1, "model": model, "choices": [choice]})
        + b"\n\n"
    )


class Way:
    """One request for `qwen` at chat0, whose fallback is at chat1."""

    def __init__(
        self,
        *,
        contexts: dict[str, int] | None = None,
        store: MemoryStore | None = None,
        patience: float = 0.02,
        **script: list[FakeReply | Exception],
    ) -> None:
        self.conductor = Conductor(script, store=store, limits=SeatLimits(1, 10, patience))
        self.told = Told()
        known = contexts or {"chat": 8192, "text2sql": 8192}
        planner = Planner(Registry([QWEN, SQL]), PayloadSettings(), lambda group: known[group.name])
        dispatcher = self.conductor.dispatcher
        self.forwarder = Forwarder(
            dispatcher,
            Fallbacks([QWEN, SQL], planner, dispatcher, self.conductor.metrics),
            ProxySettings(),
            client_write_secs=60,
            streams=StreamMeans(1 << 20, Gaps(Metrics()).of),
            clock=self.conductor.time,
        )

    async def fill(self, store: MemoryStore, group: BackendGroup) -> Seat:
        """The one seat at the group's one backend is taken."""
        backend = group.backends[0].name
        return await store.seat(group.name, "x", candidates=lambda: [backend], limit=1, max_queued=0, patience=0)

    def down(self, group: BackendGroup) -> None:
        self.conductor.availability.choices[group.name] = Choice((), retry_after=3.0, why="down")

    def hangs(self, group: BackendGroup) -> None:
        """As far as anybody can tell: a suspicion."""
        self.conductor.availability.choices[group.name] = Choice((), None, 3.0, "down", Choice(group.backends))

    async def run(
        self, endpoint: Endpoint = TEXT, group: BackendGroup = QWEN, asked: str = "alias", **body: Any
    ) -> RequestContext:
        sent = orjson.dumps({"model": group.model, **body})
        plan = Plan(Route(group, asked), sent, peek(sent))
        streamed = bool(body.get("stream"))
        connection = FakeConnection(self.told)
        self.ctx = context(endpoint, plan=plan, streamed=streamed, group=group.name, connection=connection)
        try:
            await self.forwarder.forward(self.ctx, self.told)
        finally:
            assert self.conductor.idle
        return self.ctx

    async def is_refused(self, *args: Any, **body: Any) -> UnavailableError:
        with pytest.raises(UnavailableError) as refused:
            await self.run(*args, **body)
        assert self.told.status == 0
        assert self.stated is None
        return refused.value

    @property
    def stated(self) -> bytes | None:
        """What the answer's fields say of a fallback."""
        return dict(self.ctx.answer_headers).get(b"x-gateway-fallback")

    @property
    def bodies(self) -> list[Any]:
        """What backends were asked for, as vLLM reads it."""
        return [(name, orjson.loads(request.body)["model"]) for name, request in self.conductor.client.asked]


@pytest.mark.parametrize(
    "own",
    [[NeverSent("refused")], [refusal()], [whole(b"{}", 429)], None],
    ids=["unreachable", "busy", "429", "down"],
)
async def test_a_group_that_takes_nothing_is_stood_in_for(own: list[FakeReply | Exception] | None) -> None:
    way = Way(chat0=own or [], chat1=[whole(ANSWER)])
    if own is None:
        way.down(QWEN)
    ctx = await way.run()
    assert (way.told.status, orjson.loads(way.told.body)["model"]) == (200, "alias")
    assert way.told.header(b"x-gateway-fallback") == b"text2sql"
    assert way.bodies[-1] == ("chat1", "arctic")
    assert (ctx.group, ctx.backend) == ("chat", "chat1")
    assert way.conductor.metrics.counted[FALLBACKS.name, "chat", "text2sql"] == 1


async def test_a_name_that_needed_no_change_at_its_own_group_is_put_into_the_fallbacks_answer() -> None:
    way = Way(chat1=[whole(ANSWER)])
    way.down(QWEN)
    await way.run(asked="qwen")
    assert orjson.loads(way.told.body)["model"] == "qwen"


async def test_a_stream_of_the_fallback_says_so_in_its_head_and_bears_the_name_asked_for() -> None:
    way = Way(chat1=[events(chunk("arctic"), DONE)])
    way.down(QWEN)
    await way.run(stream=True)
    assert way.told.parts == [chunk("alias"), DONE]
    assert way.stated == b"text2sql"


async def test_an_error_answer_of_the_fallback_says_whose_it_is() -> None:
    way = Way(chat1=[whole(b'{"error":{"message":"no","type":"t","param":null,"code":500}}', 500)])
    way.down(QWEN)
    await way.run()
    assert (way.told.status, way.stated) == (500, b"text2sql")


async def test_a_fallback_that_breaks_off_is_a_502_that_names_it() -> None:
    way = Way(chat1=[MayHaveRun("reset")])
    way.down(QWEN)
    with pytest.raises(MayHaveRun):
        await way.run()
    assert way.stated == b"text2sql"


async def test_what_may_have_run_is_not_taken_to_the_fallback() -> None:
    way = Way(chat0=[MayHaveRun("reset")], chat1=[whole(ANSWER)])
    with pytest.raises(MayHaveRun):
        await way.run()
    assert (way.conductor.client.order, way.stated) == (["chat0"], None)


async def test_an_engine_error_is_not_taken_to_the_fallback() -> None:
    way = Way(chat0=[whole(b'{"error":{"message":"EngineCore"}}', 500)], chat1=[whole(ANSWER)])
    await way.run()
    assert (way.told.status, way.conductor.client.order) == (500, ["chat0"])


async def test_where_both_take_nothing_the_clients_own_group_is_what_is_spoken_of() -> None:
    way = Way()
    way.down(QWEN)
    way.conductor.availability.choices["text2sql"] = Choice((), retry_after=9.0, why="loading")
    failure = await way.is_refused()
    assert (failure.retry_after, "down" in failure.message) == (3.0, True)


# A suspicion


async def test_where_a_fallback_answers_nobody_waits_for_an_engine_that_is_suspected_to_hang() -> None:
    way = Way(chat1=[whole(ANSWER)])
    way.hangs(QWEN)
    await way.run()
    assert (way.conductor.client.order, way.stated) == (["chat1"], b"text2sql")


@pytest.mark.parametrize("why", ["down", "suspected", "unreachable", "busy", "too large"])
async def test_where_no_fallback_answers_those_are_asked_that_are_only_suspected_to_hang(why: str) -> None:
    contexts = {"chat": 8192, "text2sql": 512} if why == "too large" else None
    scripts: dict[str, list[FakeReply | Exception]] = {"unreachable": [NeverSent("refused")], "busy": [refusal()]}
    way = Way(contexts=contexts, chat0=[whole(ANSWER)], chat1=scripts.get(why, []))
    way.hangs(QWEN)
    if why == "down":
        way.down(SQL)
    elif why == "suspected":
        way.hangs(SQL)
    await way.run(max_tokens=1000)
    assert (way.told.status, way.conductor.client.order[-1], way.stated) == (200, "chat0", None)


async def test_where_the_own_group_is_known_to_be_dead_a_suspected_fallback_is_asked() -> None:
    way = Way(chat1=[whole(ANSWER)])
    way.down(QWEN)
    way.hangs(SQL)
    await way.run()
    assert (way.told.status, way.stated) == (200, b"text2sql")


async def test_where_all_are_known_to_be_dead_nobody_is_asked() -> None:
    way = Way()
    way.down(QWEN)
    way.down(SQL)
    assert (await way.is_refused()).retry_after == 3.0
    assert way.conductor.client.order == []


async def test_a_seat_at_one_that_is_suspected_to_hang_is_waited_for(store: MemoryStore) -> None:
    way = Way(store=store, patience=3600.0, chat0=[whole(ANSWER)])
    way.hangs(QWEN)
    way.down(SQL)
    held = await way.fill(store, QWEN)
    running = asyncio.create_task(way.run())
    async with asyncio.timeout(10):
        while not way.conductor.waiting["chat"]:
            await checkpoint()
    store.leave_seat(held)
    await running
    assert (way.conductor.client.order, way.stated) == (["chat0"], None)


async def test_one_level_and_no_more() -> None:
    way = Way(chat0=[NeverSent("refused")], chat1=[NeverSent("refused")])
    await way.is_refused()
    assert way.conductor.client.order == ["chat0", "chat1"]


async def test_a_request_that_does_not_fit_the_fallback_is_not_the_clients_mistake() -> None:
    way = Way(contexts={"chat": 8192, "text2sql": 512}, chat1=[whole(ANSWER)])
    way.down(QWEN)
    failure = await way.is_refused(max_tokens=1000)
    assert failure.status == 503
    assert way.conductor.client.order == []


@pytest.mark.parametrize("status", [400, 404, 405, 422, 501])
@pytest.mark.parametrize("stream", [False, True])
async def test_what_only_the_fallbacks_model_may_refuse_gets_its_own_groups_answer(
    status: int, *, stream: bool
) -> None:
    way = Way(chat1=[whole(NO_TOOLS, status)])
    way.down(QWEN)
    failure = await way.is_refused(stream=stream)
    assert (failure.status, failure.retry_after) == (503, 3.0)
    assert way.conductor.client.order == ["chat1"]
    assert (FALLBACKS.name, "chat", "text2sql") not in way.conductor.metrics.counted


async def test_a_status_that_speaks_of_this_very_request_is_passed_on() -> None:
    way = Way(chat1=[whole(b'{"error":{"message":"large","type":"t","param":null,"code":413}}', 413)])
    way.down(QWEN)
    await way.run()
    assert (way.told.status, way.stated) == (413, b"text2sql")


async def test_another_models_count_of_tokens_is_no_answer() -> None:
    way = Way(chat1=[whole(b"{}")])
    way.down(QWEN)
    await way.is_refused(COUNTING)
    assert way.conductor.client.order == []


async def test_a_path_that_the_fallbacks_kind_does_not_serve_has_none() -> None:
    way = Way(chat1=[whole(b"{}")])
    way.down(QWEN)
    await way.is_refused(EMBEDDINGS)
    assert way.conductor.client.order == []


async def test_a_path_of_one_model_takes_the_fallback_that_the_operator_named() -> None:
    way = Way(chat0=[whole(b'{"model":"qwen","choices":[]}')])
    way.down(SQL)
    await way.run(PINNED, SQL, "text2sql")
    assert (way.told.status, orjson.loads(way.told.body)["model"]) == (200, "text2sql")
    assert way.stated == b"chat"


async def test_a_group_without_a_fallback_says_how_it_is() -> None:
    way = Way()
    way.forwarder._fallbacks._fallbacks.clear()
    way.down(QWEN)
    assert (await way.is_refused()).retry_after == 3.0


# Seats


@pytest.fixture
async def store() -> AsyncIterator[MemoryStore]:
    memory = MemoryStore(StoreSettings(), SystemClock())
    await memory.open()
    yield memory
    await memory.close()


async def test_a_group_that_is_full_is_stood_in_for_at_once(store: MemoryStore) -> None:
    way = Way(store=store, patience=3600.0, chat1=[whole(ANSWER)])
    await way.fill(store, QWEN)
    ctx = await way.run()
    assert (way.told.status, way.stated, ctx.queue_wait) == (200, b"text2sql", None)


async def test_a_group_with_a_free_seat_answers_itself(store: MemoryStore) -> None:
    way = Way(store=store, chat0=[whole(ANSWER)])
    await way.run()
    assert (way.conductor.client.order, way.stated) == (["chat0"], None)


@pytest.mark.parametrize("why", ["full", "down", "too large"])
async def test_who_cannot_go_to_the_fallback_waits_for_its_own_group(store: MemoryStore, why: str) -> None:
    contexts = {"chat": 8192, "text2sql": 512} if why == "too large" else None
    way = Way(store=store, patience=3600.0, contexts=contexts, chat0=[whole(ANSWER)], chat1=[whole(ANSWER)])
    held = await way.fill(store, QWEN)
    if why == "full":
        await way.fill(store, SQL)
    elif why == "down":
        way.down(SQL)
    running = asyncio.create_task(way.run(max_tokens=1000))
    async with asyncio.timeout(10):
        while not way.conductor.waiting["chat"]:
            await checkpoint()
    assert way.conductor.waiting["text2sql"] == 0
    store.leave_seat(held)
    await running
    assert (way.conductor.client.order, way.stated) == (["chat0"], None)


async def test_who_has_waited_in_vain_is_refused_in_its_own_groups_name(store: MemoryStore) -> None:
    way = Way(store=store)
    await way.fill(store, QWEN)
    await way.fill(store, SQL)
    failure = await way.is_refused()
    assert "no place came free within 0.02 s" in failure.message


async def test_who_has_asked_one_backend_waits_for_the_others_before_it_leaves_its_group(store: MemoryStore) -> None:
    both = replace(QWEN, backends=(BACKENDS[0], BACKENDS[2]))
    way = Way(store=store, patience=3600.0, chat0=[NeverSent("refused")], chat2=[whole(ANSWER)], chat1=[whole(ANSWER)])
    held = await store.seat("chat", "x", candidates=lambda: ["chat2"], limit=1, max_queued=0, patience=0)
    running = asyncio.create_task(way.run(group=both))
    async with asyncio.timeout(10):
        while not way.conductor.waiting["chat"]:
            await checkpoint()
    store.leave_seat(held)
    await running
    assert (way.conductor.client.order, way.stated) == (["chat0", "chat2"], None)
