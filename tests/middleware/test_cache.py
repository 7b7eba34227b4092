"""Requests that may share an answer do, the rest pass by, and no client keeps another waiting."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest
from anyio.lowlevel import checkpoint

from gateway.cache.host import LoneHost
from gateway.cache.response_cache import ResponseCache
from gateway.cache.settings import CacheSettings
from gateway.cache.verdict import SharedFailureError
from gateway.core.asgi import Message, Receive, Scope, Send
from gateway.core.context import CONTEXT_KEY, RequestContext
from gateway.core.endpoint import SHARED_IF_EXACT, Endpoint, ModelKind
from gateway.core.errors import BadGatewayError, QueueFullError
from gateway.core.lifeline import Cut
from gateway.middleware.cache import Cache, SampledCache
from gateway.middleware.request_scope import leave
from gateway.observability.families.cached import CACHE_REQUESTS
from gateway.observability.metrics import Metrics
from tests.cache.requests import Plan
from tests.core.hand_time import HandTime
from tests.core.requests import EMBEDDINGS, HEALTH, FakeConnection, Told, context, nothing_to_receive

pytestmark = pytest.mark.anyio

CHAT = Endpoint(
    "/v1/chat/completions",
    frozenset({"POST"}),
    upstream_path=b"/v1/chat/completions",
    kinds=(ModelKind.CHAT,),
    streams=True,
    shared_at=SHARED_IF_EXACT,
)
JSON = (b"content-type", b"application/json")
HEADER = b"x-gateway-cache"
LONG = 100


@dataclass
class Visit:
    """One request on its way."""

    told: Told
    connection: FakeConnection
    ctx: RequestContext = field(init=False)
    task: "asyncio.Task[None]" = field(init=False)

    @property
    def state(self) -> bytes | None:
        return self.told.header(HEADER)

    def go(self) -> None:
        """The client leaves."""
        self.connection.leave()


class Door:
    """The layer before a backend that answers when it is `free`.

    Attributes:
        runs: requests that came through.
        closed: those of them that were ended.
    """

    def __init__(self, layer: type[Cache] = Cache) -> None:
        settings = CacheSettings(cache_max_answer_bytes=LONG, cache_max_bytes=1024 * 1024)
        self.cache = ResponseCache(settings, LoneHost(1024 * 1024), HandTime(), lambda _: None)
        self.metrics = Metrics()
        self.free = asyncio.Event()
        self.runs: list[RequestContext] = []
        self.closed: list[RequestContext] = []
        self.status = 200
        self.kind = JSON
        self.parts = [b'{"data":', b"[]}"]
        self.ends = True
        self.failures: list[Exception] = []
        self.version = 0
        self._layer = layer(self._app, self.cache, 60.0, self.metrics, lambda: self.version)

    async def _app(self, scope: Scope, _receive: Receive, send: Send) -> None:
        ctx: RequestContext = scope[CONTEXT_KEY]
        self.runs.append(ctx)
        try:
            await self.free.wait()
        except asyncio.CancelledError:
            self.closed.append(ctx)
            raise
        if self.failures:
            raise self.failures.pop(0)
        size = sum(map(len, self.parts))
        headers = [self.kind, (b"content-length", b"%d" % size)]
        await send({"type": "http.response.start", "status": self.status, "headers": headers})
        for part in self.parts[:-1]:
            await send({"type": "http.response.body", "body": part, "more_body": True})
        await send({"type": "http.response.body", "body": self.parts[-1], "more_body": not self.ends})

    async def visit(
        self,
        *,
        endpoint: Endpoint = EMBEDDINGS,
        shareable: bool = True,
        streamed: bool = False,
        control: bytes = b"",
        organization: str = "org:a",
    ) -> Visit:
        """A request that has come as far as it can."""
        told = Told()
        visit = Visit(told, FakeConnection(told))

        async def run() -> None:
            ctx = visit.ctx = context(
                endpoint,
                organization=organization,
                shareable=shareable,
                streamed=streamed,
                group="embed",
                plan=Plan(b'{"input":"a"}'),
                connection=visit.connection,
                fields={b"cache-control": control} if control else {},
            )
            visit.connection.watch(lambda: leave(ctx))
            await self._layer({CONTEXT_KEY: ctx}, nothing_to_receive, answering(ctx, told))

        visit.task = asyncio.get_running_loop().create_task(run())
        for _ in range(5):
            await checkpoint()
        return visit

    def counted(self, result: str) -> float:
        figure = self.metrics.figure(CACHE_REQUESTS, EMBEDDINGS.path, result)
        return figure._values[figure._slot]  # type: ignore[union-attr]  # there is room in this page


def answering(ctx: RequestContext, told: Told) -> Callable[[Message], "asyncio.Future[None]"]:
    """As the request's scope does, but for its sizes."""

    async def answer(message: Message) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = message["headers"] + ctx.answer_headers
        await told(message)

    return answer  # type: ignore[return-value]  # a coroutine is awaited as a future is


@pytest.fixture
async def door() -> Door:
    made = Door()
    made.cache.open()
    return made


async def ended(*visits: Visit) -> list[Visit]:
    async with asyncio.timeout(30):
        await asyncio.gather(*(visit.task for visit in visits), return_exceptions=True)
    return list(visits)


async def test_the_first_runs_for_all_and_later_ones_are_answered_from_what_is_kept(door: Door) -> None:
    visits = [await door.visit() for _ in range(5)]
    assert len(door.runs) == 1
    door.free.set()
    visits += [(await ended(*visits))[0], *(await ended(await door.visit()))]
    assert [visit.state for visit in visits[:5]] == [b"miss"] + [b"coalesced"] * 4
    assert visits[-1].state == b"hit"
    assert {visit.told.body for visit in visits} == {b'{"data":[]}'}
    assert {visit.told.header(b"content-type") for visit in visits} == {b"application/json"}
    assert [visit.ctx.cache for visit in visits[:5]] == [None] + ["coalesced"] * 4
    assert visits[-1].ctx.cache == "hit"
    assert len(door.runs) == 1
    assert [door.counted(name) for name in ("miss", "coalesced", "hit")] == [1, 4, 1]


@pytest.mark.parametrize(
    "known",
    [{"shareable": False}, {"endpoint": CHAT, "streamed": True}, {"control": b"No-Store"}],
    ids=["not for sharing", "a stream", "no-store"],
)
async def test_what_is_not_for_sharing_runs_for_itself(door: Door, known: dict[str, object]) -> None:
    visits = [await door.visit(**known) for _ in range(2)]  # type: ignore[arg-type]  # as listed
    assert len(door.runs) == 2
    door.free.set()
    await ended(*visits)
    assert [visit.state for visit in visits] == [None, None]
    assert [door.counted(name) for name in ("miss", "coalesced", "hit")] == [0, 0, 0]


async def test_own_paths_pass(door: Door) -> None:
    door.free.set()
    assert (await ended(await door.visit(endpoint=HEALTH, shareable=False)))[0].told.status == 200


async def test_no_cache_asks_anew_and_keeps_what_comes(door: Door) -> None:
    door.free.set()
    await ended(await door.visit())
    door.parts = [b"[]"]
    (fresh,) = await ended(await door.visit(control=b"no-cache"))
    assert (fresh.state, fresh.told.body) == (b"miss", b"[]")
    (later,) = await ended(await door.visit())
    assert (later.state, later.told.body) == (b"hit", b"[]")


async def test_organizations_and_versions_of_the_registry_share_nothing(door: Door) -> None:
    door.free.set()
    await ended(await door.visit())
    other = await door.visit(organization="org:b")
    door.version = 1
    newer = await door.visit()
    assert [visit.state for visit in await ended(other, newer)] == [b"miss", b"miss"]


async def test_a_leader_whose_client_leaves_runs_on_for_those_who_wait(door: Door) -> None:
    leader, follower = await door.visit(), await door.visit()
    leader.go()
    await checkpoint()
    assert door.closed == []
    door.free.set()
    await ended(leader, follower)
    assert (follower.state, follower.told.status) == (b"coalesced", 200)
    assert leader.task.cancelled()
    assert leader.ctx.lifeline.reason is Cut.CLIENT_GONE
    assert leader.ctx.disconnect_phase is not None
    assert leader.told.status == 0


async def test_the_run_ends_when_the_last_one_leaves(door: Door) -> None:
    leader, follower = await door.visit(), await door.visit()
    leader.go()
    follower.go()
    await ended(leader, follower)
    assert door.closed == [leader.ctx]
    again = await door.visit()
    assert door.runs[-1] is again.ctx
    again.go()
    await ended(again)


async def test_a_leader_for_whom_nobody_waits_ends_with_its_client(door: Door) -> None:
    leader = await door.visit()
    leader.go()
    await ended(leader)
    assert door.closed == [leader.ctx]


async def test_a_leader_that_is_cut_is_replaced(door: Door) -> None:
    leader, follower, third = [await door.visit() for _ in range(3)]
    leader.ctx.lifeline.cut(Cut.LIFETIME)
    await ended(leader)
    for _ in range(5):
        await checkpoint()
    assert door.runs == [leader.ctx, follower.ctx]
    door.free.set()
    await ended(follower, third)
    assert (follower.state, third.state) == (b"miss", b"coalesced")


async def test_a_failure_is_tried_once_more_and_then_shared(door: Door) -> None:
    door.failures = [BadGatewayError("It broke off."), BadGatewayError("Again.")]
    visits = [await door.visit() for _ in range(4)]
    door.free.set()
    await ended(*visits)
    assert len(door.runs) == 2
    failures = [visit.task.exception() for visit in visits]
    assert [type(failure) for failure in failures] == [BadGatewayError] * 2 + [SharedFailureError] * 2
    last = failures[-1]
    assert isinstance(last, SharedFailureError)
    assert (last.status, last.code, last.message, last.should_retry) == (502, "bad_gateway", "Again.", False)


async def test_a_refusal_behind_the_layer_is_shared_with_its_time_to_retry(door: Door) -> None:
    door.failures = [QueueFullError("full", retry_after=2.0) for _ in range(2)]
    visits = [await door.visit() for _ in range(3)]
    door.free.set()
    await ended(*visits)
    failure = visits[-1].task.exception()
    assert isinstance(failure, SharedFailureError)
    assert (failure.status, failure.outcome, failure.retry_after) == (429, "queue_full", 2.0)


async def test_an_error_of_the_backend_is_never_kept(door: Door) -> None:
    door.status = 400
    visits = [await door.visit() for _ in range(3)]
    door.free.set()
    await ended(*visits)
    assert [visit.told.status for visit in visits] == [400] * 3
    assert len({visit.told.body for visit in visits}) == 1
    assert len(door.runs) == 1
    await ended(await door.visit())
    assert len(door.runs) == 2


async def test_an_answer_that_is_too_long_goes_on_as_it_comes_and_others_ask_for_themselves(door: Door) -> None:
    door.parts = [b"[" + b" " * LONG, b"]"]
    visits = [await door.visit() for _ in range(3)]
    door.free.set()
    await ended(*visits)
    assert len(door.runs) == 3
    assert [visit.told.body for visit in visits] == [b"".join(door.parts)] * 3
    assert len(visits[0].told.parts) == 2


async def test_what_is_no_json_is_not_kept(door: Door) -> None:
    door.kind = (b"content-type", b"application/octet-stream")
    door.free.set()
    await ended(await door.visit(), await door.visit())
    assert len(door.runs) == 2


async def test_what_was_not_ended_is_not_kept_and_others_ask_for_themselves(door: Door) -> None:
    door.ends = False
    visits = [await door.visit() for _ in range(3)]
    door.free.set()
    await ended(*visits)
    assert len(door.runs) == 3
    await ended(await door.visit())
    assert len(door.runs) == 4


async def test_a_leaders_client_that_takes_nothing_keeps_nobody_waiting(door: Door) -> None:
    leader, follower = await door.visit(), await door.visit()
    leader.told.slow = asyncio.Event()
    door.free.set()
    await ended(follower)
    assert follower.told.complete
    leader.told.slow.set()
    await ended(leader)
    assert leader.told.complete


async def test_sampled_chat_is_shared_where_that_is_asked_for() -> None:
    door = Door(SampledCache)
    door.cache.open()
    door.free.set()
    sampled = [await door.visit(endpoint=CHAT, shareable=False) for _ in range(2)]
    streams = [await door.visit(endpoint=CHAT, shareable=False, streamed=True) for _ in range(2)]
    others = [await door.visit(shareable=False) for _ in range(2)]
    await ended(*sampled, *streams, *others)
    assert [visit.state for visit in (*sampled, *streams, *others)] == [b"miss", b"hit", None, None, None, None]
