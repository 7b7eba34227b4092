"""Which spans a request leaves, and what stands in them."""

from random import Random
from typing import Any

import pytest
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import SpanKind, StatusCode

from gateway.core.context import Phase, RequestContext
from gateway.core.endpoint import ModelKind
from gateway.core.fleet import Backend, BackendGroup
from gateway.core.trace import UpstreamSpan
from gateway.core.usage import Usage
from gateway.payload.peek import Peek
from gateway.proxy.planner import Plan
from gateway.routing.registry import Route
from gateway.tracing.spans import SpanMaker
from tests.core.requests import EMBEDDINGS
from tests.proxy.fakes import BACKENDS, plan_of
from tests.tracing.told import PARENT, TRACE, Kept, request

pytestmark = pytest.mark.anyio

OFFSET = 1_000_000.0
OTHER = Backend("text2sql", "http://sql:8000")
FALLBACK = BackendGroup("text2sql", ModelKind.TEXT2SQL, "arctic", (), (OTHER,))


def made(it: Kept, ctx: RequestContext, *, shown: Any = str) -> list[ReadableSpan]:
    """The spans of a request that ends now."""
    it.tracer.finish(ctx)
    ((_, trace, end),) = it.kept
    return SpanMaker(Resource({}), "1", Random(2), shown).spans(ctx, trace, end, OFFSET)  # noqa: S311 -- repeatable


def attempt(it: Kept, ctx: RequestContext, backend: Backend = BACKENDS[0], *, secs: float = 1.0, **seen: Any) -> None:
    """One that lasts so long."""
    span = it.tracer.attempt(ctx, backend, backend.name, 8000)
    assert isinstance(span, UpstreamSpan)
    it.time.advance(secs)
    span.ended = it.time.now
    for name, value in {"status": 200, **seen}.items():
        setattr(span, name, value)


def attributes(span: ReadableSpan) -> dict[str, Any]:
    return dict(span.attributes or {})


def secs(span: ReadableSpan) -> tuple[float, float]:
    """When it began and ended, on the clock of `HandTime`."""
    assert span.start_time is not None
    assert span.end_time is not None
    return span.start_time / 1e9 - OFFSET, span.end_time / 1e9 - OFFSET


def failed(span: ReadableSpan) -> bool:
    return span.status.status_code is StatusCode.ERROR


async def test_a_request_and_its_attempt() -> None:
    it, ctx = Kept(), request(traced=True, status=200, outcome="ok", attempts=1, streamed=True)
    it.time.advance(0.25)
    attempt(it, ctx)
    ctx.first_token_at = 1000.75
    ctx.usage = Usage(7, 5)
    it.time.advance(0.25)
    own, upstream = made(it, ctx)
    assert (own.name, own.kind, secs(own)) == ("POST /v1/chat/completions", SpanKind.SERVER, (1000.0, 1001.5))
    assert (upstream.name, upstream.kind, secs(upstream)) == ("chat qwen", SpanKind.CLIENT, (1000.25, 1001.25))
    assert own.parent is not None
    assert upstream.parent is not None
    assert (own.parent.span_id, own.parent.is_remote) == (int(PARENT, 16), True)
    assert (upstream.parent, upstream.parent.is_remote) == (own.context, False)
    assert {own.context.trace_id, upstream.context.trace_id} == {int(TRACE, 16)}
    assert own.context.trace_state.to_header() == "a=1"
    assert not failed(own)
    assert not failed(upstream)
    assert attributes(own)["gateway.time_to_first_token"] == 0.75
    assert attributes(upstream) == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "vllm",
        "gen_ai.request.model": "qwen",
        "gen_ai.request.stream": True,
        "gen_ai.usage.input_tokens": 7,
        "gen_ai.usage.output_tokens": 5,
        "gen_ai.response.time_to_first_chunk": 0.5,
        "server.address": "chat0",
        "server.port": 8000,
        "gateway.backend": "chat0",
        "http.response.status_code": 200,
    }


async def test_what_was_answered_is_said_of_the_last_attempt_alone() -> None:
    it, ctx = Kept(), request(status=200, outcome="ok", usage=Usage(7, 5))
    attempt(it, ctx, status=503)
    attempt(it, ctx, BACKENDS[1])
    _, first, second = made(it, ctx)
    assert (failed(first), attributes(first)["error.type"]) == (True, "503")
    assert "gen_ai.usage.input_tokens" not in attributes(first)
    assert attributes(second)["gen_ai.usage.input_tokens"] == 7
    assert (failed(second), attributes(second)["http.request.resend_count"]) == (False, 1)


async def test_a_fallbacks_attempt_names_its_own_model() -> None:
    it, ctx = Kept(), request(status=200, outcome="ok")
    attempt(it, ctx, status=0, error="refused")
    attempt(it, ctx, OTHER)
    ctx.plan = Plan(Route(FALLBACK, "qwen"), b"", Peek())
    _, first, second = made(it, ctx)
    assert [span.name for span in (first, second)] == ["chat qwen", "chat arctic"]


async def test_an_attempt_at_a_group_that_is_known_no_more_names_no_model() -> None:
    it, ctx = Kept(), request(status=503, outcome="service_unavailable")
    attempt(it, ctx, OTHER, status=0, error="refused")
    _, upstream = made(it, ctx)
    assert upstream.name == "chat"
    assert "gen_ai.request.model" not in attributes(upstream)


@pytest.mark.parametrize(
    ("status", "outcome", "error"),
    [
        (200, "ok", None),
        (404, "model_not_found", None),
        (429, "queue_full", None),
        (499, "client_gone", None),
        (200, "client_gone", None),
        (200, "slow_client", None),
        (200, "stream_broken", "stream_broken"),
        (503, "service_unavailable", "service_unavailable"),
        (502, "backend_500", "backend_500"),
    ],
)
async def test_a_request_failed_where_its_client_is_not_to_blame(status: int, outcome: str, error: str | None) -> None:
    it, ctx = Kept(), request(status=status, outcome=outcome)
    (own,) = made(it, ctx)
    assert failed(own) == (error is not None)
    assert attributes(own).get("error.type") == error


async def test_a_wait_stands_before_the_attempt_that_ended_it() -> None:
    it, ctx = Kept(), request(status=200, outcome="ok")
    it.tracer.enter(ctx)
    it.time.advance(3)
    ctx.queue_wait = 2.0
    attempt(it, ctx)
    own, wait, _ = made(it, ctx)
    assert (wait.name, wait.kind, secs(wait)) == ("queue", SpanKind.INTERNAL, (1001.0, 1003.0))
    assert wait.parent == own.context


async def test_a_slot_that_was_free_is_no_wait() -> None:
    it, ctx = Kept(), request(status=200, outcome="ok", queue_wait=0.0009)
    it.tracer.enter(ctx)
    attempt(it, ctx)
    assert [span.name for span in made(it, ctx)][1:] == ["chat qwen"]


async def test_who_never_got_a_slot_waited_until_its_end() -> None:
    it, ctx = Kept(), request(status=429, outcome="queue_timeout")
    it.time.advance(1)
    it.tracer.enter(ctx)
    it.time.advance(2)
    _, wait = made(it, ctx)
    assert secs(wait) == (1001.0, 1003.0)


async def test_who_was_refused_at_once_did_not_wait() -> None:
    it, ctx = Kept(), request(status=429, outcome="queue_full")
    it.tracer.enter(ctx)
    it.time.advance(0.0009)
    assert len(made(it, ctx)) == 1


async def test_a_wait_behind_the_last_attempt_is_shown_too() -> None:
    """Seats: the next replica was full until the request gave up."""
    it, ctx = Kept(), request(status=503, outcome="service_unavailable")
    it.tracer.enter(ctx)
    attempt(it, ctx, status=0, error="refused")
    it.time.advance(2)
    ctx.queue_wait = 2.0
    _, wait, _ = made(it, ctx)
    assert secs(wait) == (1001.0, 1003.0)


async def test_a_departure_is_told_with_its_phase() -> None:
    it, ctx = Kept(), request(status=499, outcome="client_gone", disconnect_phase=Phase.WAITING)
    attempt(it, ctx, status=0, error="client_gone")
    own, upstream = made(it, ctx)
    assert attributes(own)["gateway.client_left"] == "waiting"
    assert (failed(upstream), attributes(upstream)["error.type"]) == (False, "client_gone")


async def test_other_paths_are_called_as_opentelemetry_does_or_by_their_last_word() -> None:
    it, ctx = Kept(), request(status=200, outcome="ok")
    ctx.endpoint = EMBEDDINGS
    attempt(it, ctx)
    assert [span.name for span in made(it, ctx)] == ["POST /v1/embeddings", "embeddings qwen"]


@pytest.mark.parametrize(("stated", "shown"), [(2**70, None), (512, 512), (None, None)])
async def test_a_bound_that_no_span_can_hold_is_left_out(stated: int | None, shown: int | None) -> None:
    it, ctx = Kept(), request(status=200, outcome="ok")
    ctx.plan = plan_of(max_tokens=stated, n=3)
    attempt(it, ctx)
    _, upstream = made(it, ctx)
    assert attributes(upstream).get("gen_ai.request.max_tokens") == shown
    assert attributes(upstream)["gen_ai.request.choice.count"] == 3


async def test_an_organization_is_shown_as_logs_show_it() -> None:
    it, ctx = Kept(), request(status=200, outcome="ok", organization="ip:203.0.113.7")
    (own,) = made(it, ctx, shown=lambda text: text.replace("7", "0"))
    assert attributes(own)["gateway.organization"] == "ip:203.0.113.0"


async def test_an_attempt_that_was_never_ended_ends_with_its_request() -> None:
    it, ctx = Kept(), request(status=200, outcome="ok")
    assert it.tracer.attempt(ctx, BACKENDS[0], "chat0", 8000) is not None
    it.time.advance(4)
    _, upstream = made(it, ctx)
    assert secs(upstream) == (1000.0, 1004.0)
