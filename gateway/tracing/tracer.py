"""Is this request recorded, and under which ids? Whether it is sampled, and what its backends are told of the trace."""

from collections.abc import Callable
from random import Random
from typing import Final

from gateway.core.asgi import Headers
from gateway.core.clock import Clock
from gateway.core.context import RequestContext
from gateway.core.fleet import Backend
from gateway.core.trace import RequestTrace, UpstreamSpan
from gateway.core.traceparent import NAME, STATE_NAME, Parent, parent_of, passed_on, state_of

OF_RATIO: Final = 2**64
"""A new trace is sampled by the lower half of its id, as OpenTelemetry's own samplers do it: all of them agree."""

Keep = Callable[[RequestContext, RequestTrace, float], None]
"""Takes a request that is over, what was noted of it, and when it ended on the monotonic clock."""


class Tracer:
    """Notes what spans are made of; nothing is made of it before the request is over.

    Args:
        ratio: share of the traces that begin here which are sampled; the trace of a client that has shown a key is
            sampled if it says so.
        keep: takes what is to be exported.
        clock: for the moments that no room keeps otherwise.
        rng: for ids.
    """

    def __init__(self, ratio: float, keep: Keep, clock: Clock, rng: Random) -> None:
        self._bound = round(ratio * OF_RATIO)
        self._keep = keep
        self._clock = clock
        self._rng = rng

    def admit(self, ctx: RequestContext) -> None:
        """The request's client has shown a key, and sent a valid `traceparent`: it decides what is recorded."""
        parent = parent_of(ctx.fields[NAME])
        assert parent is not None  # noqa: S101 -- `ctx.trace_id` says so
        ctx.trace = self._child(ctx, parent, sampled=parent.sampled)

    def enter(self, ctx: RequestContext) -> None:
        """The request has come to where slots are waited for."""
        trace = ctx.trace or self._begin(ctx)
        trace.queued_at = self._clock.monotonic()

    def attempt(self, ctx: RequestContext, backend: Backend, host: str, port: int) -> UpstreamSpan | None:
        """A request is about to be sent there; None: it is not sampled."""
        trace = ctx.trace or self._begin(ctx)
        if not trace.sampled:
            return None
        waited = ctx.queue_wait or 0.0
        span = UpstreamSpan(
            self._span_id(), backend, ctx.plan.route.group, host, port, self._clock.monotonic(), waited - trace.waited
        )
        trace.waited = waited
        trace.attempts.append(span)
        trace.fields = _fields(trace, span.span_id)
        return span

    def finish(self, ctx: RequestContext) -> None:
        """The request is over.

        Of paths that reach no backend only what a client's own trace asks for is kept: probes would be most of it.
        """
        if ctx.trace is None and not ctx.endpoint.relayed and ctx.trace_id is None:
            return
        trace = ctx.trace or self._begin(ctx)
        if trace.sampled:
            self._keep(ctx, trace, self._clock.monotonic())

    def _begin(self, ctx: RequestContext) -> RequestTrace:
        parent = parent_of(ctx.fields[NAME]) if ctx.trace_id is not None else None
        trace = ctx.trace = self._root() if parent is None else self._strangers(ctx, parent)
        ctx.trace_id = trace.trace_id
        return trace

    def _strangers(self, ctx: RequestContext, parent: Parent) -> RequestTrace:
        """The trace of a client that has shown no key: what it says can spare a record and never ask for one.

        Drawn, not told by the trace's id as elsewhere: that is the stranger's choice, too.
        """
        return self._child(ctx, parent, sampled=parent.sampled and self._rng.getrandbits(64) < self._bound)

    def _root(self) -> RequestTrace:
        number = self._rng.getrandbits(128) or 1
        sampled = number % OF_RATIO < self._bound
        trace = RequestTrace(f"{number:032x}", self._span_id(), "", sampled, b"", [])
        if not sampled:
            trace.fields = _fields(trace, trace.span_id)  # or a backend would begin a trace of its own
        return trace

    def _child(self, ctx: RequestContext, parent: Parent, *, sampled: bool) -> RequestTrace:
        fields = [] if sampled else passed_on(ctx.fields)
        state = state_of(ctx.fields)
        return RequestTrace(parent.trace_id, self._span_id(), parent.span_id, sampled, state, fields)

    def _span_id(self) -> str:
        return f"{self._rng.getrandbits(64) or 1:016x}"


def _fields(trace: RequestTrace, span_id: str) -> Headers:
    """What a backend is told whose span stands under that one."""
    said = f"00-{trace.trace_id}-{span_id}-{trace.sampled:02x}"
    fields = [(NAME, said.encode("ascii"))]
    if trace.state:
        fields.append((STATE_NAME, trace.state))
    return fields
