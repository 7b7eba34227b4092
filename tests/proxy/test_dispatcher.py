"""Another replica is asked only while nothing can have run, and a backend is never asked twice for one request."""

import asyncio
from dataclasses import replace

import pytest
from msgspec import structs

from gateway.backends.availability import Choice
from gateway.core.context import Phase
from gateway.core.errors import BadGatewayError
from gateway.core.fleet import BackendGroup
from gateway.observability.families.backends import BACKEND_SIGNALS
from gateway.payload.peek import Peek
from gateway.proxy.pieces import HOLD_BYTES
from gateway.proxy.planner import Plan
from gateway.proxy.unavailable import BusyError, DownError, NoBackendError, UnreachableError
from gateway.routing.registry import Route
from gateway.upstream.errors import MayHaveRun, NeverSent, PoolExhausted
from tests.core.requests import context
from tests.proxy.fakes import BACKENDS, GROUP, FakeReply, events, plan_of, whole
from tests.proxy.post import DRAINING, Post, refusal

pytestmark = pytest.mark.anyio

ENGINE_DEAD = b'{"error":{"message":"EngineCore encountered an issue"}}'


async def test_the_first_that_accepts_answers_and_nobody_else_is_asked() -> None:
    reply = events(b"data: {}\n\n")
    post = Post(chat0=[reply])
    assert await post.open() is reply
    assert reply.reads == 0
    assert (post.ctx.backend, post.ctx.attempts, post.ctx.phase) == ("chat0", 1, Phase.WAITING)


async def test_whose_turn_it_is_is_the_policys_to_say() -> None:
    post = Post(first=2, chat2=[whole(b"{}")])
    await post.open()
    assert post.client.order == ["chat2"]


async def test_a_group_of_one_asks_for_no_turn() -> None:
    post = Post(chat0=[whole(b"{}")])
    post.conductor.availability.choices["chat"] = Choice(BACKENDS[:1])  # `InOrder` refuses to order one
    await post.open()
    assert post.client.order == ["chat0"]


async def test_a_backend_gets_our_key_our_id_and_its_own_path() -> None:
    post = Post(chat0=[whole(b"{}")])
    await post.open()
    ((_, request),) = post.client.asked
    assert (request.method, request.path, request.body) == (b"POST", b"/v1/chat/completions", b'{"model":"qwen"}')
    assert dict(request.headers) == {b"content-type": b"application/json", b"authorization": b"Bearer INTERNAL"}
    assert request.request_id == b"req1"


async def test_what_a_plan_says_beside_its_body_is_told_every_backend_that_is_asked_and_nobody_else() -> None:
    post = Post(chat0=[NeverSent("refused"), whole(b"{}")], chat1=[whole(b"{}")])
    plan = structs.replace(plan_of(), headers=((b"x-vllm-priority", b"-5"),))
    post.conductor.attempts.close(await post.conductor.dispatcher.open(post.ctx, plan))
    await post.open()
    told = [(name, dict(request.headers).get(b"x-vllm-priority")) for name, request in post.client.asked]
    assert told == [("chat0", b"-5"), ("chat1", b"-5"), ("chat0", None)]


async def test_what_never_left_moves_on_at_once_and_outside_the_budget() -> None:
    post = Post(retries=0, chat0=[NeverSent("refused")], chat1=[NeverSent("dns")], chat2=[whole(b"{}")])
    await post.open()
    assert post.client.order == ["chat0", "chat1", "chat2"]
    assert (post.ctx.attempts, post.ctx.backend) == (3, "chat2")
    assert (post.moved("unreachable"), post.moved("refused")) == (2, 0)


async def test_a_backend_whose_connections_stay_stale_is_left_and_blamed_for_nothing() -> None:
    post = Post(chat0=[NeverSent("stale")], chat1=[whole(b"{}")])
    await post.open()
    assert post.client.order == ["chat0", "chat1"]
    assert post.told == ["chat1 succeeded"]


async def test_what_may_have_run_is_never_repeated() -> None:
    post = Post(chat0=[MayHaveRun("reset")], chat1=[whole(b"{}")])
    await post.fails(MayHaveRun)
    assert post.client.order == ["chat0"]


async def test_a_full_pool_is_told_at_once() -> None:
    post = Post(chat0=[PoolExhausted()], chat1=[whole(b"{}")])
    await post.fails(PoolExhausted)
    assert post.told == []


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


@pytest.mark.parametrize("status", [400, 404, 422, 502])
async def test_other_statuses_are_passed_on_unread(status: int) -> None:
    reply = whole(b"{}", status)
    post = Post(chat0=[reply])
    assert await post.open() is reply
    assert reply.reads == 0


async def test_refusals_move_on_only_while_the_budget_lasts() -> None:
    post = Post(retries=1, chat0=[refusal()], chat1=[refusal()], chat2=[whole(b"{}")])
    await post.fails(BusyError)
    assert post.client.order == ["chat0", "chat1"]


@pytest.mark.parametrize("said", [refusal(503), refusal(429), NeverSent("refused")], ids=["busy", "429", "unreached"])
async def test_who_was_never_probed_is_asked_when_those_in_rotation_take_nothing(said: FakeReply | Exception) -> None:
    post = Post(chat0=[whole(b"{}")], chat1=[said], chat2=[refusal()])
    post.conductor.availability.choices["chat"] = Choice(BACKENDS[1:], reserve=BACKENDS[:1])
    await post.open()
    assert post.client.order == ["chat1", "chat2", "chat0"]


async def test_who_was_never_probed_is_asked_behind_a_trial_too() -> None:
    post = Post(chat0=[refusal()], chat1=[refusal()], chat2=[whole(b"{}")])
    post.conductor.availability.choices["chat"] = Choice(BACKENDS[1:2], trial=BACKENDS[0], reserve=BACKENDS[2:])
    await post.open()
    assert post.client.order == ["chat0", "chat1", "chat2"]


async def test_where_nobody_is_left_no_retry_is_spent() -> None:
    post = Post(retries=3, chat0=[refusal()])
    post.conductor.availability.choices["chat"] = Choice(BACKENDS[:1])
    await post.fails(BusyError)
    assert (post.budget._tokens, post.budget.pauses) == (3.1, 0)


async def test_what_one_group_refuses_costs_another_none_of_its_retries() -> None:
    post = Post(retries=0, chat0=[refusal(), refusal()], chat1=[whole(b"{}")])
    await post.fails(BusyError)
    other = Plan(Route(replace(GROUP, name="other"), "qwen"), b"{}", Peek())
    attempt = await post.conductor.dispatcher.open(context(group="other"), other)
    assert attempt.backend.name == "chat1"
    post.conductor.attempts.close(attempt)


async def test_a_move_from_a_backend_that_was_never_reached_costs_no_budget() -> None:
    post = Post(retries=1, chat0=[refusal()], chat1=[NeverSent("refused")], chat2=[whole(b"{}")])
    await post.open()
    assert post.client.order == ["chat0", "chat1", "chat2"]
    assert (post.moved("refused"), post.moved("unreachable")) == (1, 1)


async def test_when_all_refuse_it_is_the_fleets_state() -> None:
    post = Post(chat0=[refusal()], chat1=[refusal(429)], chat2=[refusal()])
    failure = await post.fails(BusyError, "busy")
    assert isinstance(failure.value, NoBackendError)
    assert (failure.value.status, failure.value.retry_after, post.ctx.attempts) == (503, 1.0, 3)


async def test_a_refusal_beside_unreachable_replicas_is_a_busy_fleet() -> None:
    post = Post(chat0=[refusal()], chat1=[NeverSent("refused")], chat2=[NeverSent("refused")])
    failure = await post.fails(BusyError)
    assert isinstance(failure.value, NoBackendError)
    assert (failure.value.status, post.ctx.attempts) == (503, 3)
    assert post.client.order == ["chat0", "chat1", "chat2"]


async def test_when_none_can_be_reached_it_says_so_and_when_to_come_back() -> None:
    post = Post(chat0=[NeverSent("refused")], chat1=[NeverSent("dns")], chat2=[NeverSent("tls")])
    failure = await post.fails(UnreachableError, "could be reached")
    assert isinstance(failure.value, NoBackendError)
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
    await post.fails(failure)
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
    assert post.conductor.idle


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


async def test_a_stated_refusal_is_followed_by_a_pause_and_an_unreached_replica_by_none() -> None:
    post = Post(chat0=[refusal()], chat1=[NeverSent("refused")], chat2=[whole(b"{}")])
    await post.open()
    assert post.budget.pauses == 1


async def test_what_each_attempt_says_of_its_backend_is_told_to_the_breaker() -> None:
    post = Post(chat0=[NeverSent("refused")], chat1=[refusal()], chat2=[whole(b"{}")])
    await post.open()
    assert post.told == ["chat0 failed", "chat2 succeeded"]
    assert post.conductor.policy.failures == ["chat0", "chat1"]
    counted = {
        key[1:]: value for key, value in post.conductor.metrics.counted.items() if key[0] == BACKEND_SIGNALS.name
    }
    assert counted == {("chat0", "failure"): 1, ("chat1", "back_pressure"): 1}


async def test_a_server_that_says_that_it_drains_is_left_at_once() -> None:
    post = Post(chat0=[whole(DRAINING, 500)], chat1=[whole(b"{}")])
    await post.open()
    assert post.told == ["chat0 tripped", "chat1 succeeded"]


@pytest.mark.parametrize(
    ("status", "body", "told"),
    [
        (400, b"{}", []),
        (404, b"{}", []),
        (422, b"{}", []),
        (401, b"{}", ["chat0 failed"]),
        (500, ENGINE_DEAD, ["chat0 failed"]),
        (502, b"{}", ["chat0 failed"]),
        (301, b"", ["chat0 failed"]),
    ],
)
async def test_a_status_says_of_the_backend_what_the_table_says(status: int, body: bytes, told: list[str]) -> None:
    post = Post(chat0=[whole(body, status)])
    await post.open()
    assert post.told == told


async def test_a_backend_that_could_not_be_reached_is_suspected_for_a_second() -> None:
    post = Post(chat0=[NeverSent("refused")], chat1=[refusal()], chat2=[whole(b"{}")])
    await post.open()
    assert post.conductor.board.suspected == [post.conductor.time.now + 1, 0.0, 0.0]


async def test_our_own_closing_suspects_nobody() -> None:
    post = Post(chat0=[NeverSent("closing")], chat1=[NeverSent("closing")], chat2=[NeverSent("closing")])
    await post.fails(UnreachableError)
    assert (post.conductor.board.suspected, post.told) == ([0.0] * 3, [])


async def test_of_a_dead_group_a_request_asks_one_where_the_others_were_not_reached_a_moment_ago() -> None:
    post = Post(chat0=[NeverSent("refused")])
    for index in (1, 2):
        post.conductor.board.suspect(index, post.conductor.time.now + 0.5)
    await post.fails(UnreachableError)
    assert post.client.order == ["chat0"]


async def test_who_is_suspected_is_asked_after_one_that_was_reached_and_refused() -> None:
    post = Post(chat0=[refusal()], chat1=[whole(b"{}")])
    post.conductor.board.suspect(1, post.conductor.time.now + 0.5)
    post.conductor.board.suspect(2, post.conductor.time.now + 0.5)
    await post.open()
    assert post.client.order == ["chat0", "chat1"]


async def test_who_is_suspected_is_asked_all_the_same_where_its_turn_is_the_first() -> None:
    post = Post(chat0=[whole(b"{}")])
    for index in range(3):
        post.conductor.board.suspect(index, post.conductor.time.now + 0.5)
    await post.open()
    assert post.client.order == ["chat0"]


async def test_who_said_that_it_is_full_is_asked_behind_the_others_for_a_second() -> None:
    post = Post(chat0=[refusal(), whole(b"{}")], chat1=[whole(b"{}"), whole(b"{}")])
    await post.open()
    await post.open()
    assert post.client.order == ["chat0", "chat1", "chat1"]
    post.conductor.time.advance(1)
    await post.open()
    assert post.client.order[3:] == ["chat0"]


async def test_when_nobody_is_available_it_is_said_at_once_with_the_reason_and_when_to_come_back() -> None:
    post = Post()
    post.conductor.availability.choices["chat"] = Choice((), retry_after=7.0, why="loading")
    failure = await post.fails(DownError, "loading")
    assert isinstance(failure.value, NoBackendError)
    assert (failure.value.status, failure.value.retry_after, post.ctx.attempts) == (503, 7.0, 0)


async def test_those_that_only_seem_to_hang_are_asked_in_turn_where_there_is_nobody_else() -> None:
    post = Post(first=1, chat0=[whole(b"{}")], chat1=[whole(b"{}")])
    post.conductor.availability.choices["chat"] = Choice((), None, 7.0, "down", Choice(BACKENDS[:2]))
    await post.open()
    assert post.client.order == ["chat1"]


async def test_a_group_that_went_down_meanwhile_says_when_it_is_looked_at_again() -> None:
    post = Post(chat0=[NeverSent("refused")])
    choices = iter([Choice(BACKENDS[:1]), Choice((), retry_after=5.0)])

    def choose(group: BackendGroup) -> Choice:
        assert group.name == "chat"
        return next(choices)

    post.conductor.dispatcher._choose = choose
    failure = await post.fails(UnreachableError)
    assert isinstance(failure.value, NoBackendError)
    assert failure.value.retry_after == 5.0
