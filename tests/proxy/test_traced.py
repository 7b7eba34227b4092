"""Each attempt of a recorded request is noted, and its backend is told of it."""

import pytest

from gateway.core.asgi import Fields
from gateway.core.context import RequestContext
from gateway.core.errors import UnavailableError
from gateway.core.traceparent import parent_of
from gateway.proxy.traced import TracedAttempt, TracedAttempts
from gateway.proxy.unavailable import NoBackendError
from gateway.upstream.address import Address
from gateway.upstream.errors import MayHaveRun, NeverSent
from gateway.upstream.protocol import UpstreamRequest
from tests.proxy.fakes import BY_URL, Conductor, FakeReply, plan_of, whole
from tests.tracing.told import FIELDS, TRACE, Kept, request

pytestmark = pytest.mark.anyio


class Traced(Conductor):
    """A conductor whose attempts are traced."""

    def __init__(self, script: dict[str, list[FakeReply | Exception]]) -> None:
        self.it = Kept()
        super().__init__(script, time=self.it.time)
        self.attempts = TracedAttempts(
            self.it.tracer, BY_URL, self.board, self.breaker, self.policy, self.metrics, self.time
        )
        self.dispatcher.attempts = self.searcher._attempts = self.attempts
        self._traces: list[Fields] = []
        send = self.client.send

        async def noting(address: Address, request: UpstreamRequest) -> FakeReply:
            self._traces.append(dict(request.trace))
            return await send(address, request)

        self.client.send = noting  # type: ignore[method-assign]  # one request is asked with several times

    def told(self) -> list[str]:
        """The spans that backends were told of, in turn."""
        parents = [parent_of(fields[b"traceparent"]) for fields in self._traces]
        return [parent.span_id for parent in parents if parent is not None and parent.sampled]

    def spans_of(self, ctx: RequestContext) -> list[tuple[str, str, int, str]]:
        attempts = self.it.trace_of(ctx).attempts
        return [(span.span_id, span.backend.name, span.status, span.error) for span in attempts]


async def test_every_replica_that_was_asked_was_told_of_a_span_of_its_own() -> None:
    it = Traced({"chat0": [NeverSent("refused")], "chat1": [whole(b"{}", status=503)], "chat2": [whole(b"{}")]})
    ctx = request(traced=True)
    attempt = await it.dispatcher.open(ctx, plan_of())
    it.time.advance(1)
    it.attempts.close(attempt)
    first, second, third = it.told()
    assert it.spans_of(ctx) == [
        (first, "chat0", 0, "refused"),
        (second, "chat1", 503, ""),
        (third, "chat2", 200, ""),
    ]
    last = it.it.trace_of(ctx).attempts[-1]
    assert (last.host, last.port, last.ended - last.began) == ("chat2", 8000, 1.0)
    assert it.idle


@pytest.mark.parametrize(
    ("failure", "word"),
    [(MayHaveRun("reset"), "reset"), (UnavailableError("x"), "service_unavailable"), (KeyError(), "internal_error")],
)
async def test_an_attempt_that_fails_says_why(failure: Exception, word: str) -> None:
    it, ctx = Traced({"chat0": [failure]}), request()
    with pytest.raises(type(failure)):
        await it.dispatcher.open(ctx, plan_of())
    assert [error for *_, error in it.spans_of(ctx)] == [word]


async def test_a_request_that_is_not_recorded_has_plain_attempts_and_its_clients_words_go_on() -> None:
    it = Traced({name: [NeverSent("refused")] for name in ("chat0", "chat1", "chat2")})
    fields = {**FIELDS, b"traceparent": FIELDS[b"traceparent"][:-1] + b"0"}
    ctx = request(fields=fields, trace_id=TRACE)
    with pytest.raises(NoBackendError):
        await it.dispatcher.open(ctx, plan_of())
    assert it.spans_of(ctx) == []
    assert [dict(asked.trace) for _, asked in it.client.asked] == [fields] * len(it.client.asked)


async def test_where_nothing_is_traced_what_the_client_says_goes_on_and_nothing_is_noted() -> None:
    it = Conductor({"chat0": [whole(b"{}"), whole(b"{}")]})
    traced, plain = request(traced=True), request()
    for ctx in (traced, plain):
        attempt = await it.dispatcher.open(ctx, plan_of())
        assert not isinstance(attempt, TracedAttempt)
        it.attempts.close(attempt)
    assert [dict(asked.trace) for _, asked in it.client.asked] == [FIELDS, {}]
    assert traced.trace is None
