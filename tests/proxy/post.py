"""One request that is to be placed, before a dispatcher and three backends that answer as they are told."""

import asyncio

import pytest

from gateway.core.context import RequestContext
from gateway.observability.families.backends import RETRIES
from gateway.upstream.protocol import Reply
from tests.core.requests import context
from tests.proxy.fakes import Conductor, FakeReply, plan_of, whole

DRAINING = b'{"error":{"message":"cannot schedule new futures after shutdown"}}'


def refusal(status: int = 503) -> FakeReply:
    return whole(b'{"error":{"message":"The engine is currently busy"}}', status)


class Post:
    """A dispatcher over three backends, chat0 first, and the request that it places."""

    def __init__(self, *, retries: int = 10, first: int = 0, **script: list[FakeReply | Exception]) -> None:
        self.conductor = Conductor(script, first=first)
        self.client = self.conductor.client
        self.budget = self.conductor.budget
        self.budget._tokens = float(retries)
        self.told = self.conductor.breaker.told
        self.ctx: RequestContext = context(group="chat")

    async def open(self) -> Reply:
        """The reply; the attempt is closed as the forwarder closes it."""
        attempt = await self.conductor.dispatcher.open(self.ctx, plan_of())
        assert sum(self.conductor.board.running) == 1
        self.conductor.attempts.close(attempt)
        return attempt.reply

    async def fails(
        self, failure: type[BaseException], match: str | None = None
    ) -> pytest.ExceptionInfo[BaseException]:
        """What it raises; nothing of it is left."""
        with pytest.raises(failure, match=match) as raised:
            async with asyncio.timeout(10):  # one who has no script is waited for without end
                await self.open()
        assert self.conductor.idle
        return raised

    def moved(self, reason: str) -> float:
        return self.conductor.metrics.counted.get((RETRIES.name, "chat", reason), 0.0)
