"""The moment at which a request comes to its queue."""

import pytest

from gateway.core.asgi import Receive, Scope, Send
from gateway.core.context import CONTEXT_KEY
from gateway.middleware.queue_clock import QueueClock
from tests.core.requests import MODELS, Told, nothing_to_receive, scope_of
from tests.tracing.told import Kept, request

pytestmark = pytest.mark.anyio


async def test_it_is_noted_for_what_goes_to_a_backend() -> None:
    it = Kept()
    relayed, own = request(), request()
    own.endpoint = MODELS
    seen = []

    async def app(scope: Scope, _receive: Receive, _send: Send) -> None:
        seen.append(scope[CONTEXT_KEY])

    for ctx in (relayed, own):
        await QueueClock(app, it.tracer)({**scope_of(), CONTEXT_KEY: ctx}, nothing_to_receive, Told())
    assert seen == [relayed, own]
    assert it.trace_of(relayed).queued_at == it.time.now
    assert own.trace is None
