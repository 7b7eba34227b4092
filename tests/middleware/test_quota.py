"""Whatever becomes of a request, its accounts count what it took, and the journal says so in the access log's words."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from gateway.core.context import CONTEXT_KEY, Phase, RequestContext
from gateway.core.endpoint import Endpoint
from gateway.core.errors import BadGatewayError, BadRequestError, GatewayError, QueueFullError, RateLimitedError
from gateway.core.lifeline import Cut
from gateway.core.principal import AccountLimits, Principal
from gateway.core.refusal import Refusal
from gateway.core.usage import Usage
from gateway.core.usage_record import UsageRecord, decode_usage
from gateway.limits.allowances import Allowances
from gateway.limits.calendar import Calendar, zone_of
from gateway.limits.quotas import QuotaExceededError, Quotas
from gateway.limits.settings import LimitsSettings
from gateway.middleware.quota import Quota
from gateway.payload.peek import Peek
from gateway.proxy.planner import Plan
from gateway.proxy.unavailable import BusyError
from gateway.store.choices import StoreKind
from gateway.store.lmdb import LmdbStore
from gateway.store.memory import MemoryStore
from gateway.store.protocol import LimiterStore
from gateway.store.settings import StoreSettings
from tests.core.hand_time import HandTime
from tests.core.requests import CHAT, EMBEDDINGS, HEALTH, Told, context, nothing_to_receive

pytestmark = pytest.mark.anyio

WHO = "ip:203.0.113.7"
BODY = b"x" * 400
PROMPT = 100
TOKENIZE = Endpoint("/v1/tokenize", frozenset({"POST"}), upstream_path=b"/tokenize", uses_engine=False)

End = Callable[[RequestContext], Awaitable[None]]


class Door:
    """The layer, before whatever a test has become of its request."""

    def __init__(self, *, journaled: bool = True, **settings: Any) -> None:
        self.clock = HandTime()
        self._settings, self._journaled = LimitsSettings(**settings), journaled
        self.keep_in(MemoryStore(StoreSettings(), self.clock))
        self.windows = Calendar(zone_of("UTC")).at(self.clock.wall()).windows

    def keep_in(self, store: LimiterStore) -> None:
        """Count there from now on."""
        self.store = store
        allowances = Allowances(self._settings, None)
        self.quotas = Quotas(self._settings, store.accounts, allowances, self.clock, journaled=self._journaled)

    async def visit(
        self, end: End, endpoint: Endpoint = CHAT, principal: Principal | None = None, **peeked: Any
    ) -> RequestContext:
        """One request, which ends as `end` makes it; what it raises is raised."""
        ctx = context(endpoint, organization=WHO)
        ctx.plan = Plan(None, BODY, Peek(**peeked))  # type: ignore[arg-type]  # no room here asks for the route
        ctx.group = "chat"
        ctx.principal = principal or ctx.principal

        async def app(*_: object) -> None:
            await end(ctx)

        await Quota(app, self.quotas)({CONTEXT_KEY: ctx}, nothing_to_receive, Told())
        return ctx

    async def used(self, account: str = WHO) -> tuple[int, int]:
        """Requests and tokens of this day."""
        standing = await self.store.accounts.standing(account, self.windows)
        return standing.day_requests, standing.day_tokens

    async def records(self) -> list[UsageRecord]:
        return [decode_usage(record) for sheet in await self.store.accounts.journal(100) for record in sheet.records()]


async def ask(ctx: RequestContext) -> None:
    """A backend gets it."""
    ctx.backend = "chat0"
    ctx.attempts = 1
    ctx.phase = Phase.WAITING


async def answer(ctx: RequestContext) -> None:
    """A backend answers it."""
    await ask(ctx)
    ctx.phase = Phase.ANSWERING
    ctx.answer_started = ctx.answer_complete = True
    ctx.status = 200
    ctx.usage = Usage(20, 5)


def cut(reason: Cut, before: End) -> End:
    async def end(ctx: RequestContext) -> None:
        await before(ctx)
        ctx.lifeline.cut(reason)
        await asyncio.get_running_loop().create_future()

    return end


def fail(failure: BaseException, before: End) -> End:
    async def end(ctx: RequestContext) -> None:
        await before(ctx)
        raise failure

    return end


async def nothing(ctx: RequestContext) -> None:
    """Nobody got it yet."""
    ctx.phase = Phase.QUEUED


async def begin_stream(ctx: RequestContext) -> None:
    """A stream has begun, and has stated its figures so far."""
    await answer(ctx)
    ctx.answer_complete = False
    ctx.usage = Usage(20, 3)


async def keep(ctx: RequestContext) -> None:
    """It is answered from what is kept."""
    ctx.cache = "hit"
    ctx.answer_started = ctx.answer_complete = True
    ctx.status = 200


async def pass_error(ctx: RequestContext) -> None:
    """The backend's own error is passed on."""
    await answer(ctx)
    ctx.usage = None
    ctx.status, ctx.outcome = 400, "backend_400"


ENDS = {
    "answered": (answer, (1, 25), (200, "ok", 20, 5, False)),
    "answered from what is kept": (keep, (1, 0), (200, "ok", 0, 0, False)),
    "a backend's error": (pass_error, (1, 0), (400, "backend_400", 0, 0, False)),
    "a stream left in its middle": (cut(Cut.CLIENT_GONE, begin_stream), (1, 23), (200, "client_gone", 20, 3, False)),
    "left before its answer": (cut(Cut.CLIENT_GONE, ask), (1, PROMPT), (499, "client_gone", PROMPT, 0, True)),
    "too long before its answer": (cut(Cut.LIFETIME, ask), (1, PROMPT), (504, "lifetime", PROMPT, 0, True)),
    "broken off": (fail(BadGatewayError("x"), ask), (1, PROMPT), (502, "bad_gateway", PROMPT, 0, True)),
    "a bug": (fail(KeyError("x"), begin_stream), (1, 23), (200, "internal_error", 20, 3, False)),
    "refused by the queue": (fail(QueueFullError("x"), nothing), (0, 0), None),
    "left the queue": (cut(Cut.CLIENT_GONE, nothing), (0, 0), None),
    "taken by no backend": (fail(BusyError(), ask), (0, 0), None),
    "a mistake of its own": (fail(BadRequestError("x"), nothing), (0, 0), None),
}


@pytest.mark.parametrize("how", ENDS)
async def test_what_an_end_costs_and_how_it_is_booked(how: str) -> None:
    end, used, words = ENDS[how]
    door = Door()
    visit = asyncio.ensure_future(door.visit(end))
    await asyncio.wait([visit])
    assert await door.used() == used
    records = await door.records()
    if words is None:
        assert records == []
    else:
        (record,) = records
        booked = record.status, record.outcome, record.prompt_tokens, record.completion_tokens, record.estimated
        assert booked == words
        assert (record.organization, record.model, record.path) == (WHO, "chat", "/v1/chat/completions")


async def test_what_a_whole_answer_cost_whose_client_has_left_is_learned_from_those_that_stayed() -> None:
    door = Door()

    async def answered_in_two_seconds(ctx: RequestContext) -> None:
        await answer(ctx)
        ctx.usage = Usage(130, 40)
        door.clock.now = ctx.started + 2.0

    async def half_of_that(ctx: RequestContext) -> None:
        await ask(ctx)
        door.clock.now = ctx.started + 1.0

    await door.visit(answered_in_two_seconds)
    left = asyncio.ensure_future(door.visit(cut(Cut.CLIENT_GONE, half_of_that)))
    await asyncio.wait([left])
    record = (await door.records())[-1]
    assert (record.prompt_tokens, record.completion_tokens, record.estimated) == (130, 20, True)
    assert await door.used() == (2, 170 + 150)


async def test_a_stream_that_states_its_figures_at_its_end_alone_costs_what_came_of_it() -> None:
    async def begin(ctx: RequestContext) -> None:
        await begin_stream(ctx)
        ctx.streamed, ctx.usage, ctx.token_events = True, None, 7

    door = Door()
    left = asyncio.ensure_future(door.visit(cut(Cut.CLIENT_GONE, begin)))
    await asyncio.wait([left])
    assert await door.used() == (1, PROMPT + 7)


async def test_an_answer_that_needs_no_model_costs_no_tokens() -> None:
    async def end(ctx: RequestContext) -> None:
        await answer(ctx)
        ctx.usage = None
        assert await door.used() == (1, 0)

    door = Door()
    await door.visit(end, TOKENIZE)
    assert await door.used() == (1, 0)


@pytest.mark.parametrize(
    ("endpoint", "peeked", "tokens"),
    [
        (CHAT, {}, PROMPT + 1024),
        (CHAT, {"n": 3}, PROMPT + 3 * 1024),
        (CHAT, {"max_tokens": 7}, PROMPT + 7),
        (CHAT, {"max_tokens": 7, "n": 2, "prompts": 4}, PROMPT + 56),
        (CHAT, {"max_tokens": 2**62}, 2**40),
        (CHAT, {"max_tokens": -5000}, PROMPT),
        (CHAT, {"max_tokens": -5000, "n": -5000}, PROMPT),
        (CHAT, {"n": 0}, PROMPT),
        (EMBEDDINGS, {}, PROMPT),
    ],
)
async def test_what_it_may_take_is_set_aside_while_it_runs(
    endpoint: Endpoint, peeked: dict[str, Any], tokens: int
) -> None:
    async def end(ctx: RequestContext) -> None:
        await answer(ctx)
        assert await door.used() == (1, tokens)

    door = Door(org_daily_token_limit=0, org_monthly_token_limit=0)
    await door.visit(end, endpoint, **peeked)
    assert await door.used() == (1, 25)


async def test_a_quota_that_is_used_up_refuses_and_says_when_it_renews() -> None:
    door = Door(org_daily_token_limit=150, quota_timezone="UTC")
    await door.visit(answer, max_tokens=10)
    with pytest.raises(
        QuotaExceededError, match=r"150 tokens per day, with 125 of them left, too few .*renews at \d{4}-"
    ) as caught:
        await door.visit(answer, max_tokens=50)
    assert caught.value.should_retry is False
    assert (caught.value.status, caught.value.code, caught.value.retry_after) == (429, "insufficient_quota", None)
    assert caught.value.refusal is Refusal.DAY
    assert await door.used() == (1, 25)


async def test_a_quota_of_which_nothing_is_left_says_so() -> None:
    door = Door(org_daily_request_limit=1)
    await door.visit(answer)
    with pytest.raises(QuotaExceededError, match=r"1 requests per day, with none of them left\. The quota renews"):
        await door.visit(answer)


async def test_a_keys_minute_refuses_and_says_when_to_return() -> None:
    door = Door()
    key = Principal("org:acme", "k1", limits=AccountLimits(tokens_per_minute=150))
    await door.visit(answer, principal=key, max_tokens=10)
    with pytest.raises(RateLimitedError, match="reached: this API key may use 150 tokens per minute") as caught:
        await door.visit(answer, principal=key, max_tokens=50)
    assert caught.value.retry_after == pytest.approx(10.0)
    assert caught.value.refusal is Refusal.TOKENS
    with pytest.raises(RateLimitedError, match="may take 300 tokens, and this API key may use") as too_large:
        await door.visit(answer, principal=key, max_tokens=200)
    assert (too_large.value.retry_after, too_large.value.should_retry) == (None, False)
    assert await door.used("key:k1") == (1, 25)


async def test_a_refusal_shows_what_is_left_too() -> None:
    door = Door(org_daily_token_limit=150)

    async def never(_: RequestContext) -> None:
        raise AssertionError

    ctx = context(CHAT, organization=WHO)
    ctx.plan = Plan(None, BODY, Peek())  # type: ignore[arg-type]  # as above
    with pytest.raises(GatewayError):
        await Quota(never, door.quotas)({CONTEXT_KEY: ctx}, nothing_to_receive, Told())  # type: ignore[arg-type]  # never called
    headers = dict(ctx.answer_headers)
    assert (headers[b"x-ratelimit-limit-tokens"], headers[b"x-ratelimit-remaining-tokens"]) == (b"150", b"150")


async def test_our_own_paths_cost_nothing() -> None:
    door = Door()
    await door.visit(nothing, HEALTH)
    assert await door.used() == (0, 0)


async def test_where_nobody_takes_records_away_there_are_none() -> None:
    door = Door(journaled=False)
    await door.visit(answer)
    assert await door.used() == (1, 25)
    assert await door.records() == []


LIMITED = Principal("", "k1", limits=AccountLimits(tokens_per_day=1_000_000, requests_per_month=50_000))


@pytest.mark.parametrize("principal", [None, LIMITED, Principal("", "k2")])
@pytest.mark.parametrize("rps_burst", [100.0, 1e6])
async def test_what_a_worker_holds_is_used_without_asking_and_shown_as_if_it_had_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, principal: Principal | None, rps_burst: float
) -> None:
    monkeypatch.setattr(LmdbStore, "_tick", lambda _: None)
    asking, holding = Door(rps_burst=rps_burst), Door(rps_burst=rps_burst)
    store = LmdbStore(StoreSettings(limiter_store=StoreKind.LMDB, limiter_path=tmp_path), holding.clock)
    await store.open()
    try:
        holding.keep_in(store)
        for number in range(8):
            if number == 1:
                store._accounts.write()  # the first one's cost, so that both know the same
            if number == 2:
                monkeypatch.setattr(store._accounts, "_decide", None)
            for door in (asking, holding):
                door.clock.wall_now += 0.75
            peeked: dict[str, Any] = {"max_tokens": number * 100, "n": 2}
            headers = [
                (await door.visit(answer, principal=principal, **peeked)).answer_headers for door in (asking, holding)
            ]
            assert headers[0] == headers[1] != []
        monkeypatch.undo()
        assert await holding.used() == await asking.used() == (8, 200)
        assert await holding.records() == await asking.records()
    finally:
        await store.close()


@pytest.mark.parametrize("later", [0.0, 1.0, 86_000.0])
async def test_another_day_is_asked_for_whatever_is_held(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, later: float
) -> None:
    monkeypatch.setattr(LmdbStore, "_tick", lambda _: None)
    door = Door()
    store = LmdbStore(StoreSettings(limiter_store=StoreKind.LMDB, limiter_path=tmp_path), door.clock)
    await store.open()
    try:
        door.keep_in(store)
        for _ in range(3):
            await door.visit(answer)
        door.clock.wall_now = Calendar(zone_of("UTC")).at(door.clock.wall()).day_ends + later
        await door.visit(answer)
        door.windows = Calendar(zone_of("UTC")).at(door.clock.wall()).windows
        assert await door.used() == (1, 25)
    finally:
        await store.close()


async def test_a_clock_that_is_set_back_by_a_day_is_told_when_that_day_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(LmdbStore, "_tick", lambda _: None)
    door = Door()
    store = LmdbStore(StoreSettings(limiter_store=StoreKind.LMDB, limiter_path=tmp_path), door.clock)
    await store.open()
    try:
        door.keep_in(store)
        resets = [dict((await door.visit(answer)).answer_headers)[b"x-ratelimit-reset-tokens"] for _ in range(3)]
        door.clock.wall_now -= 86_400
        resets.append(dict((await door.visit(answer)).answer_headers)[b"x-ratelimit-reset-tokens"])
        assert len(set(resets)) == 1
        assert await door.used() == (4, 100)
    finally:
        await store.close()
