"""What is recorded, and under which ids."""

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.sdk.trace.sampling import Decision, TraceIdRatioBased

from gateway.core.traceparent import parent_of
from gateway.tracing.tracer import Tracer
from tests.core.hand_time import HandTime
from tests.core.requests import HEALTH, MODELS
from tests.proxy.fakes import BACKENDS
from tests.tracing.told import FIELDS, PARENT, TRACE, Kept, request

pytestmark = pytest.mark.anyio


class Drawn(Random):
    """Draws one number for the trace, others for spans."""

    def __init__(self, number: int) -> None:
        super().__init__(1)
        self._number = number

    def getrandbits(self, k: int, /) -> int:
        return self._number if k == 128 else super().getrandbits(k)


async def test_the_trace_of_a_client_with_a_key_is_continued_whatever_the_ratio() -> None:
    it, ctx = Kept(ratio=0.0), request(traced=True)
    it.tracer.admit(ctx)
    span = it.tracer.attempt(ctx, BACKENDS[0], "chat0", 8000)
    trace = it.trace_of(ctx)
    assert span is not None
    assert (trace.trace_id, trace.parent_id, trace.sampled) == (TRACE, PARENT, True)
    assert trace.fields == [
        (b"traceparent", f"00-{TRACE}-{span.span_id}-01".encode()),
        (b"tracestate", b"a=1"),
    ]
    assert len({PARENT, trace.span_id, span.span_id}) == 3


async def test_a_trace_that_its_client_does_not_record_goes_on_as_it_came() -> None:
    it = Kept()
    field = f"00-{TRACE}-{PARENT}-02".encode()
    ctx = request(fields={**FIELDS, b"traceparent": field}, trace_id=TRACE)
    assert it.tracer.attempt(ctx, BACKENDS[0], "chat0", 8000) is None
    assert it.trace_of(ctx).fields == [(b"traceparent", field), (b"tracestate", b"a=1")]
    it.tracer.finish(ctx)
    assert it.kept == []


async def test_a_client_with_a_key_may_spare_its_record() -> None:
    it = Kept()
    ctx = request(fields={**FIELDS, b"traceparent": f"00-{TRACE}-{PARENT}-00".encode()}, trace_id=TRACE)
    it.tracer.admit(ctx)
    it.tracer.finish(ctx)
    assert it.kept == []


@pytest.mark.parametrize(("ratio", "drawn", "kept"), [(0.0, 0, 0), (0.25, 2**62 - 1, 1), (0.25, 2**62, 0), (1.0, 1, 1)])
async def test_a_stranger_who_says_to_record_is_drawn_by_lot(ratio: float, drawn: int, kept: int) -> None:
    """Whatever its trace's id, which it chose."""
    lots = Drawn(0)
    lots.getrandbits = lambda _: drawn  # type: ignore[method-assign]  # a lot is 64 bits, as a span's id
    seen = []
    for trace in (f"{1:032x}", "f" * 32):
        ctx = request(fields={b"traceparent": f"00-{trace}-{PARENT}-01".encode()}, trace_id=trace)
        Tracer(ratio, lambda *one: seen.append(one), HandTime(), lots).finish(ctx)
        assert ctx.trace_id == trace
    assert len(seen) == 2 * kept


async def test_a_stranger_who_says_not_to_record_is_not() -> None:
    it = Kept()
    it.tracer.finish(request(fields={b"traceparent": f"00-{TRACE}-{PARENT}-00".encode()}, trace_id=TRACE))
    assert it.kept == []


async def test_a_new_trace_that_is_not_sampled_is_told_so() -> None:
    it, ctx = Kept(ratio=0.0), request()
    assert it.tracer.attempt(ctx, BACKENDS[0], "chat0", 8000) is None
    ((name, value),) = it.trace_of(ctx).fields
    assert name == b"traceparent"
    assert parent_of(value) == (ctx.trace_id, it.trace_of(ctx).span_id, False)
    it.tracer.finish(ctx)
    assert it.kept == []


@given(st.integers(1, 2**128 - 1), st.floats(0, 1))
async def test_a_new_trace_is_sampled_as_opentelemetry_would(number: int, ratio: float) -> None:
    ctx = request()
    tracer = Tracer(ratio, lambda *_: None, HandTime(), Drawn(number))
    tracer.enter(ctx)
    assert ctx.trace is not None
    theirs = TraceIdRatioBased(ratio).should_sample(None, number, "").decision
    assert ctx.trace.sampled == (theirs is Decision.RECORD_AND_SAMPLE)
    assert ctx.trace_id == ctx.trace.trace_id == f"{number:032x}"


async def test_no_id_is_zero() -> None:
    ctx = request()
    zeros = Drawn(0)
    zeros.getrandbits = lambda _: 0  # type: ignore[method-assign]  # what is drawn once in 2**64
    Tracer(1.0, lambda *_: None, HandTime(), zeros).enter(ctx)
    assert ctx.trace is not None
    assert (int(ctx.trace.trace_id, 16), int(ctx.trace.span_id, 16)) == (1, 1)


async def test_each_attempt_has_the_wait_before_it() -> None:
    it, ctx = Kept(), request(queue_wait=0.5)
    first = it.tracer.attempt(ctx, BACKENDS[0], "chat0", 8000)
    second = it.tracer.attempt(ctx, BACKENDS[1], "chat1", 8000)
    ctx.queue_wait = 0.75
    third = it.tracer.attempt(ctx, BACKENDS[2], "chat2", 8000)
    assert first is not None
    assert second is not None
    assert third is not None
    assert [span.waited for span in (first, second, third)] == [0.5, 0.0, 0.25]
    assert it.trace_of(ctx).attempts == [first, second, third]
    assert it.trace_of(ctx).fields[0] == (b"traceparent", f"00-{ctx.trace_id}-{third.span_id}-01".encode())


async def test_a_request_that_is_over_is_given_away_once() -> None:
    it, ctx = Kept(), request()
    it.tracer.enter(ctx)
    it.time.advance(2)
    it.tracer.finish(ctx)
    assert it.kept == [(ctx, ctx.trace, it.time.now)]
    assert it.trace_of(ctx).queued_at == it.time.now - 2


async def test_who_was_refused_before_the_queue_has_a_trace_too() -> None:
    it, ctx = Kept(), request()
    it.tracer.finish(ctx)
    assert len(it.kept) == 1
    assert ctx.trace_id == it.trace_of(ctx).trace_id


@pytest.mark.parametrize("endpoint", [HEALTH, MODELS], ids=["health", "models"])
async def test_of_own_paths_only_what_clients_record_is_kept(endpoint: object) -> None:
    it = Kept()
    plain, asked = request(), request(traced=True)
    plain.endpoint = asked.endpoint = endpoint  # type: ignore[assignment]  # an endpoint
    it.tracer.finish(plain)
    it.tracer.finish(asked)
    assert [ctx for ctx, *_ in it.kept] == [asked]
    assert plain.trace is None
