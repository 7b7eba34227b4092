"""Which spans does a request leave? Its own, one for each wait in a queue, one for each attempt at a backend."""

from collections.abc import Callable, Iterator
from random import Random
from typing import Final

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import SpanContext, SpanKind, Status, StatusCode, TraceFlags, TraceState

from gateway.core.context import RequestContext
from gateway.core.lifeline import Cut
from gateway.core.trace import RequestTrace, UpstreamSpan
from gateway.core.usage import MAX_TOKENS
from gateway.tracing import names

LEAST_WAIT_SECS: Final = 0.001
"""A shorter wait is none: a slot that was free takes some microseconds, too."""
NANO: Final = 1e9

DEPARTURES: Final = frozenset({Cut.CLIENT_GONE, Cut.SLOW_CLIENT})
"""How requests end that nothing failed in."""
FIRST_ERROR: Final = 400
FIRST_FAULT: Final = 500

SAMPLED: Final = TraceFlags(TraceFlags.SAMPLED)
UNSET: Final = Status(StatusCode.UNSET)
FAILED: Final = Status(StatusCode.ERROR)

Attributes = dict[str, str | float]


class SpanMaker:
    """Makes the spans of requests that are over.

    They are written down as they were, not lived through: what a request's rooms would have to carry along for live
    ones stands in its context already.

    Args:
        resource: what is said of the gateway.
        version: of the gateway.
        rng: for the ids of waits, under which nothing stands.
        shown: an organization as it may be shown: that of a client without a key of its own is its address.
    """

    def __init__(self, resource: Resource, version: str, rng: Random, shown: Callable[[str], str]) -> None:
        self._resource = resource
        self._scope = InstrumentationScope("gateway", version)
        self._rng = rng
        self.shown = shown

    def new_id(self) -> str:
        """A span's."""
        return f"{self._rng.getrandbits(64) or 1:016x}"

    def spans(self, ctx: RequestContext, trace: RequestTrace, end: float, offset: float) -> list[ReadableSpan]:
        """All of them, the request's own first.

        Args:
            ctx: the request.
            trace: what was noted of it.
            end: when it was over, on the monotonic clock.
            offset: the wall clock's reading minus the monotonic clock's.
        """
        one = _OneRequest(self, ctx, trace, offset)
        return [one.own(end), *one.waits(end), *one.attempts(end)]

    def span(
        self,
        place: tuple[str, SpanContext, SpanContext | None],
        kind: SpanKind,
        attributes: Attributes,
        times: tuple[float, float],
        *,
        failed: bool = False,
    ) -> ReadableSpan:
        """One.

        Args:
            place: its name, its context, its parent's.
            kind: of it.
            attributes: of it.
            times: when it began and ended, seconds since 1970.
            failed: whether it is an error.
        """
        name, context, parent = place
        return ReadableSpan(
            name,
            context,
            parent,
            resource=self._resource,
            attributes=attributes,
            kind=kind,
            status=FAILED if failed else UNSET,
            start_time=int(times[0] * NANO),
            end_time=int(times[1] * NANO),
            instrumentation_scope=self._scope,
        )


class _OneRequest:
    def __init__(self, maker: SpanMaker, ctx: RequestContext, trace: RequestTrace, offset: float) -> None:
        self._maker = maker
        self._ctx = ctx
        self._trace = trace
        self._offset = offset
        self._trace_id = int(trace.trace_id, 16)
        self._state = TraceState.from_header([trace.state.decode("ascii")]) if trace.state else None
        self._context = self._context_of(trace.span_id)

    def own(self, end: float) -> ReadableSpan:
        """The request's."""
        ctx, trace = self._ctx, self._trace
        parent = self._context_of(trace.parent_id, remote=True) if trace.parent_id else None
        path = ctx.endpoint.path
        name = f"{ctx.method} {path}" if path else ctx.method
        failed = ctx.status >= FIRST_FAULT or (
            ctx.status < FIRST_ERROR and ctx.outcome != "ok" and ctx.outcome not in DEPARTURES
        )
        attributes: Attributes = {names.METHOD: ctx.method, names.STATUS: ctx.status, names.OUTCOME: ctx.outcome}
        attributes |= _stated(
            {
                names.ROUTE: path,
                names.REQUEST_ID: ctx.request_id,
                names.ORGANIZATION: self._maker.shown(ctx.organization),
                names.KEY: ctx.principal.key_prefix,
                names.MODEL: ctx.group,
                names.ATTEMPTS: ctx.attempts,
                names.QUEUE_WAIT: ctx.queue_wait,
                names.FIRST_TOKEN: None if ctx.first_token_at is None else ctx.first_token_at - ctx.started,
                names.CACHE: ctx.cache,
                names.CLIENT_LEFT: None if ctx.disconnect_phase is None else ctx.disconnect_phase.value,
                names.ERROR: ctx.outcome if failed else None,
            }
        )
        times = self._times(ctx.started, end)
        return self._maker.span((name, self._context, parent), SpanKind.SERVER, attributes, times, failed=failed)

    def waits(self, end: float) -> Iterator[ReadableSpan]:
        """Those in queues: before an attempt, and behind the last one where no slot, seat or backend was had."""
        trace = self._trace
        for attempt in trace.attempts:
            if attempt.waited >= LEAST_WAIT_SECS:
                yield self._wait(attempt.began - attempt.waited, attempt.began)
        began = end - ((self._ctx.queue_wait or 0.0) - trace.waited)
        if trace.queued_at is not None and not trace.attempts:
            began = trace.queued_at
        if end - began >= LEAST_WAIT_SECS:
            yield self._wait(began, end)

    def attempts(self, end: float) -> Iterator[ReadableSpan]:
        """Those at backends; what was answered is said of the last one."""
        last = len(self._trace.attempts) - 1
        for number, attempt in enumerate(self._trace.attempts):
            attributes = self._asked(attempt, number)
            if number == last:
                attributes |= self._answered(attempt)
            error = attempt.error or (str(attempt.status) if attempt.status >= FIRST_ERROR else "")
            if error:
                attributes[names.ERROR] = error
            place = (self._name_of(attempt), self._context_of(attempt.span_id), self._context)
            failed = bool(error) and error not in DEPARTURES
            times = self._times(attempt.began, attempt.ended or end)
            yield self._maker.span(place, SpanKind.CLIENT, attributes, times, failed=failed)

    def _asked(self, attempt: UpstreamSpan, number: int) -> Attributes:
        ctx = self._ctx
        peeked = ctx.plan.peeked
        return _stated(
            {
                names.OPERATION: names.operation_of(ctx.endpoint),
                names.PROVIDER: names.VLLM,
                names.ASKED_MODEL: self._model_of(attempt),
                names.STREAM: ctx.streamed or None,
                names.MAX_TOKENS: _countable(peeked.max_tokens),
                names.CHOICES: peeked.n if peeked.n != 1 else None,
                names.SERVER: attempt.host,
                names.PORT: attempt.port,
                names.BACKEND: attempt.backend.name,
                names.RESENDS: number or None,
                names.STATUS: attempt.status or None,
            }
        )

    def _answered(self, attempt: UpstreamSpan) -> Attributes:
        ctx = self._ctx
        return _stated(
            {
                names.INPUT_TOKENS: None if ctx.usage is None else ctx.usage.prompt_tokens,
                names.OUTPUT_TOKENS: None if ctx.usage is None else ctx.usage.completion_tokens,
                names.FIRST_CHUNK: None if ctx.first_token_at is None else ctx.first_token_at - attempt.began,
            }
        )

    def _wait(self, began: float, ended: float) -> ReadableSpan:
        place = (names.QUEUE_SPAN, self._context_of(self._maker.new_id()), self._context)
        return self._maker.span(place, SpanKind.INTERNAL, {}, self._times(began, ended))

    def _context_of(self, span_id: str, *, remote: bool = False) -> SpanContext:
        return SpanContext(self._trace_id, int(span_id, 16), remote, SAMPLED, self._state)

    def _times(self, began: float, ended: float) -> tuple[float, float]:
        return began + self._offset, ended + self._offset

    def _name_of(self, attempt: UpstreamSpan) -> str:
        return f"{names.operation_of(self._ctx.endpoint)} {self._model_of(attempt) or ''}".rstrip()

    def _model_of(self, attempt: UpstreamSpan) -> str | None:
        """The model that was asked for there: the group's, or a fallback's."""
        for group in (attempt.group, self._ctx.plan.route.group):
            if attempt.backend in group.backends:
                return group.model
        return None


def _stated(attributes: dict[str, str | float | None]) -> Attributes:
    """Those that are known."""
    return {name: value for name, value in attributes.items() if value is not None and value != ""}


def _countable(number: int | None) -> int | None:
    """A client's number where it is one that a span can hold."""
    return number if number is not None and abs(number) <= MAX_TOKENS else None
