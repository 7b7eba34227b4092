"""Whose word on being recorded counts: that of who has shown a key."""

import pytest

from gateway.core.asgi import Receive, Scope, Send
from gateway.core.context import CONTEXT_KEY
from gateway.middleware.trusted_trace import TrustedTrace
from tests.core.requests import HEALTH, Told, nothing_to_receive, scope_of
from tests.tracing.told import Kept, request

pytestmark = pytest.mark.anyio


async def test_a_client_with_a_key_decides_and_who_needs_none_does_not() -> None:
    it = Kept(ratio=0.0)
    plain, known, stranger = request(), request(traced=True), request(traced=True)
    stranger.endpoint = HEALTH
    seen = []

    async def app(scope: Scope, _receive: Receive, _send: Send) -> None:
        seen.append(scope[CONTEXT_KEY])

    for ctx in (plain, known, stranger):
        await TrustedTrace(app, it.tracer)({**scope_of(), CONTEXT_KEY: ctx}, nothing_to_receive, Told())
        it.tracer.finish(ctx)
    assert seen == [plain, known, stranger]
    assert [ctx for ctx, *_ in it.kept] == [known]
