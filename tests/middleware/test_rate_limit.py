"""A request spends one token of its organization's bucket, and its answer says what is left."""

import pytest

from gateway.core.asgi import Scope
from gateway.core.context import CONTEXT_KEY, RequestContext
from gateway.core.endpoint import Endpoint
from gateway.core.errors import RateLimitedError
from gateway.limits.settings import LimitsSettings
from gateway.limits.token_bucket import RateLimiter
from gateway.middleware.rate_limit import RateLimit
from gateway.store.memory import MemoryStore
from gateway.store.settings import StoreSettings
from tests.core.hand_time import HandTime
from tests.core.requests import CHAT, HEALTH, Told, context, nothing_to_receive

pytestmark = pytest.mark.anyio


class Door:
    """The layer with a bucket of two, and what passed it."""

    def __init__(self) -> None:
        self.passed: list[RequestContext] = []
        self.time = HandTime()
        settings = LimitsSettings(max_rps_per_ip=1, rps_burst=2)
        self._layer = RateLimit(self._app, RateLimiter(settings, MemoryStore(StoreSettings(), self.time)))

    async def _app(self, scope: Scope, *_: object) -> None:
        self.passed.append(scope[CONTEXT_KEY])

    async def visit(self, endpoint: Endpoint = CHAT, organization: str = "ip:203.0.113.7") -> RequestContext:
        ctx = context(endpoint, organization=organization)
        try:
            await self._layer({CONTEXT_KEY: ctx}, nothing_to_receive, Told())
        finally:
            self.last = ctx
        return ctx


async def test_every_answer_says_what_is_left() -> None:
    door = Door()
    remaining = [dict((await door.visit()).answer_headers)[b"x-ratelimit-remaining-requests"] for _ in range(2)]
    assert remaining == [b"1", b"0"]
    assert len(door.passed) == 2


async def test_a_refusal_says_when_to_come_back_and_carries_the_same_fields() -> None:
    door = Door()
    for _ in range(2):
        await door.visit()
    with pytest.raises(RateLimitedError) as refusal:
        await door.visit()
    assert refusal.value.retry_after == pytest.approx(1)
    assert dict(door.last.answer_headers)[b"x-ratelimit-limit-requests"] == b"2"
    assert len(door.passed) == 2
    door.time.advance(1)
    await door.visit()
    assert len(door.passed) == 3


async def test_organizations_have_buckets_of_their_own() -> None:
    door = Door()
    for organization in ("a", "a", "b", "b"):
        await door.visit(organization=organization)
    assert len(door.passed) == 4


async def test_an_open_path_spends_nothing() -> None:
    door = Door()
    for _ in range(5):
        assert (await door.visit(HEALTH)).answer_headers == []
    assert len(door.passed) == 5
