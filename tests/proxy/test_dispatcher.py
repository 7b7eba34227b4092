"""Another replica is asked only while nothing can have run, and a backend is never asked twice for one request."""

import asyncio
from dataclasses import replace

import pytest

from gateway.core.context import Phase, RequestContext
from gateway.core.errors import BadGatewayError, UnavailableError
from gateway.observability.metrics import RETRIES
from gateway.proxy.dispatcher import Dispatcher
from gateway.proxy.pieces import HOLD_BYTES
from gateway.proxy.planner import Plan
from gateway.proxy.retry import RetryBudget
from gateway.routing.policies import RoundRobin
from gateway.routing.registry import Route
from gateway.upstream.errors import MayHaveRun, NeverSent, PoolExhausted
from gateway.upstream.protocol import Reply
from tests.core.hand_time import HandTime
from tests.core.requests import context
from tests.observability.noted import CountedMetrics
from tests.proxy.fakes import ADDRESSES, BACKENDS, FakeReply, ScriptedClient, events, plan_of, whole

pytestmark = pytest.mark.anyio

DRAINING = b'{"error":{"message":"cannot schedule new futures after shutdown"}}'
ENGINE_DEAD = b'{"error":{"message":"EngineCore encountered an issue"}}'


def refusal(status: int = 503) -> FakeReply:
    return whole(b'{"error":{"message":"The engine is currently busy"}}', status)


class Post:
    """A dispatcher over three backends, chat0 first, and the request that it places."""

    def __init__(self, *, retries: int = 10, first: int = 0, **script: list[FakeReply | Exception]) -> None:
        async def turn(_: str) -> int:
            return first

        self.client = ScriptedClient(**script)
        self.metrics = CountedMetrics()
        self.budget = RetryBudget(HandTime())
        self.budget._tokens = float(retries)
        self.ctx: RequestContext = context(group="chat")
        self.dispatcher = Dispatcher(
            self.client,
            RoundRobin(turn),
            ADDRESSES,
            backend_key="INTERNAL",
            budget=self.budget,
            metrics=self.metrics,
        )

    async def open(self) -> Reply:
        return await self.dispatcher.open(self.ctx, plan_of())

    def moved(self, reason: str) -> float:
        return self.metrics.counted.get((RETRIES.name, "chat", reason), 0.0)


async def test_the_first_that_accepts_answers_and_nobody_else_is_asked() -> None:
    reply = events(b"data: {}\n\n")
    post = Post(chat0=[reply])
    assert await post.open() is reply
    assert reply.reads == reply.closed == 0
    assert (post.ctx.backend, post.ctx.attempts, post.ctx.phase) == ("chat0", 1, Phase.WAITING)


async def test_whose_turn_it_is_is_the_policys_to_say() -> None:
    post = Post(first=2, chat2=[whole(b"{}")])
    await post.open()
    assert post.client.order == ["chat2"]


async def test_a_group_of_one_asks_for_no_turn() -> None:
    async def no_turn(name: str) -> int:
        raise AssertionError(f"{name} has nobody to take turns with")

    post = Post(chat0=[whole(b"{}")])
    post.dispatcher._policy = RoundRobin(no_turn)
    plan = plan_of()
    group = replace(plan.route.group, backends=BACKENDS[:1])
    await post.dispatcher.open(post.ctx, Plan(Route(group, "qwen"), plan.body, plan.peeked))
    assert post.client.order == ["chat0"]


async def test_a_backend_gets_our_key_our_id_and_its_own_path() -> None:
    post = Post(chat0=[whole(b"{}")])
    await post.open()
    ((_, request),) = post.client.asked
    assert (request.method, request.path, request.body) == (b"POST", b"/v1/chat/completions", b'{"model":"qwen"}')
    assert dict(request.headers) == {b"content-type": b"application/json", b"authorization": b"Bearer INTERNAL"}
    assert request.request_id == b"req1"


async def test_what_never_left_moves_on_at_once_and_outside_the_budget() -> None:
    post = Post(retries=0, chat0=[NeverSent("refused")], chat1=[NeverSent("dns")], chat2=[whole(b"{}")])
    await post.open()
    assert post.client.order == ["chat0", "chat1", "chat2"]
    assert (post.ctx.attempts, post.ctx.backend) == (3, "chat2")
    assert (post.moved("unreachable"), post.moved("refused")) == (2, 0)


async def test_a_stale_connection_is_replaced_at_the_same_backend_and_blames_nobody() -> None:
    post = Post(chat0=[NeverSent("stale"), whole(b"{}")])
    await post.open()
    assert post.client.order == ["chat0", "chat0"]
    assert (post.ctx.attempts, post.moved("unreachable")) == (1, 0)


async def test_a_backend_that_stays_stale_is_left_after_two_tries() -> None:
    post = Post(chat0=[NeverSent("stale"), NeverSent("stale")], chat1=[whole(b"{}")])
    await post.open()
    assert post.client.order == ["chat0", "chat0", "chat1"]


@pytest.mark.parametrize("first", [NeverSent("stale"), None])
async def test_what_may_have_run_is_never_repeated(first: NeverSent | None) -> None:
    post = Post(chat0=[*([first] if first else []), MayHaveRun("reset")], chat1=[whole(b"{}")])
    with pytest.raises(MayHaveRun):
        await post.open()
    assert set(post.client.order) == {"chat0"}


async def test_a_full_pool_is_told_at_once() -> None:
    post = Post(chat0=[PoolExhausted()], chat1=[whole(b"{}")])
    with pytest.raises(PoolExhausted):
        await post.open()


@pytest.mark.parametrize("said", [refusal(503), refusal(429), whole(DRAINING, 500)], ids=["busy", "429", "draining"])
async def test_a_stated_refusal_is_taken_to_another_replica(said: FakeReply) -> None:
    post = Post(chat0=[said], chat1=[whole(b"{}")])
    await post.open()
    assert post.client.order == ["chat0", "chat1"]
    assert said.closed == 1
    assert (post.moved("refused"), post.moved("unreachable")) == (1, 0)


async def test_an_error_that_is_no_refusal_is_passed_on_with_its_body() -> None:
    dead = whole(ENGINE_DEAD, 500)
    post = Post(chat0=[dead], chat1=[whole(b"{}")])
    reply = await post.open()
    assert (reply.status, reply.content_length, reply.headers) == (500, len(ENGINE_DEAD), dead.headers)
    assert (await reply.read(), await reply.read()) == (ENGINE_DEAD, b"")
    assert dead.closed == 1
    reply.close()


@pytest.mark.parametrize("status", [400, 404, 422, 502])
async def test_other_statuses_are_passed_on_unread(status: int) -> None:
    reply = whole(b"{}", status)
    post = Post(chat0=[reply])
    assert await post.open() is reply
    assert reply.reads == 0


async def test_refusals_move_on_only_while_the_budget_lasts() -> None:
    post = Post(retries=1, chat0=[refusal()], chat1=[refusal()], chat2=[whole(b"{}")])
    with pytest.raises(UnavailableError, match="busy"):
        await post.open()
    assert post.client.order == ["chat0", "chat1"]


async def test_a_move_from_a_backend_that_was_never_reached_costs_no_budget() -> None:
    post = Post(retries=1, chat0=[refusal()], chat1=[NeverSent("refused")], chat2=[whole(b"{}")])
    await post.open()
    assert post.client.order == ["chat0", "chat1", "chat2"]
    assert (post.moved("refused"), post.moved("unreachable")) == (1, 1)


async def test_when_all_refuse_it_is_the_fleets_state() -> None:
    post = Post(chat0=[refusal()], chat1=[refusal(429)], chat2=[refusal()])
    with pytest.raises(UnavailableError, match="busy") as failure:
        await post.open()
    assert (failure.value.status, failure.value.retry_after, post.ctx.attempts) == (503, 1.0, 3)


async def test_a_refusal_beside_unreachable_replicas_is_a_busy_fleet() -> None:
    post = Post(chat0=[refusal()], chat1=[NeverSent("refused")], chat2=[NeverSent("refused")])
    with pytest.raises(UnavailableError, match="busy"):
        await post.open()


async def test_when_none_can_be_reached_it_says_so_and_when_to_come_back() -> None:
    post = Post(chat0=[NeverSent("refused")], chat1=[NeverSent("dns")], chat2=[NeverSent("tls")])
    with pytest.raises(UnavailableError, match="could be reached") as failure:
        await post.open()
    assert failure.value.retry_after == 2.0
    assert "chat" not in failure.value.message


@pytest.mark.parametrize(
    ("said", "failure"),
    [
        (FakeReply(MayHaveRun("cut"), status=503), MayHaveRun),
        (FakeReply(b"x" * (HOLD_BYTES + 1), status=500), BadGatewayError),
    ],
    ids=["broken off", "endless"],
)
async def test_a_refusal_that_cannot_be_read_is_a_failure_and_its_connection_is_given_back(
    said: FakeReply, failure: type[Exception]
) -> None:
    post = Post(chat0=[said], chat1=[whole(b"{}")])
    with pytest.raises(failure):
        await post.open()
    assert said.closed == 1
    assert post.client.order == ["chat0"]


async def test_a_cut_while_a_refusal_is_read_gives_its_connection_back() -> None:
    said = FakeReply(b"part", status=503, hangs=True)
    post = Post(chat0=[said])
    task = asyncio.create_task(post.open())
    await said.waits.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert said.closed == 1


async def test_the_phase_tells_connecting_from_waiting() -> None:
    post = Post()
    task = asyncio.create_task(post.open())
    await post.client.waits.wait()
    assert post.ctx.phase is Phase.CONNECTING
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_every_request_earns_its_share_of_a_retry() -> None:
    post = Post(retries=0, chat0=[*(whole(b"{}") for _ in range(9)), refusal()], chat1=[whole(b"{}")])
    for _ in range(9):
        await post.open()
    post.budget._tokens += 1e-9  # nine tenths and one are a hair under a whole in binary
    await post.open()
    assert post.client.order[-2:] == ["chat0", "chat1"]
