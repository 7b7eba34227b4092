"""Requests that are over, and what was noted of them: what spans are made of."""

from random import Random
from typing import Any

from gateway.core.context import RequestContext
from gateway.core.trace import RequestTrace
from gateway.tracing.tracer import Tracer
from tests.core.hand_time import HandTime
from tests.core.requests import context
from tests.proxy.fakes import plan_of

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = "00f067aa0ba902b7"
FIELDS = {b"traceparent": f"00-{TRACE}-{PARENT}-01".encode(), b"tracestate": b"a=1"}


class Kept:
    """What a tracer gives away, and its time."""

    def __init__(self, ratio: float = 1.0) -> None:
        self.time = HandTime()
        self.kept: list[tuple[RequestContext, RequestTrace, float]] = []
        self.tracer = Tracer(ratio, lambda *one: self.kept.append(one), self.time, Random(1))  # noqa: S311 -- repeatable

    def trace_of(self, ctx: RequestContext) -> RequestTrace:
        """What is noted of it."""
        assert ctx.trace is not None
        return ctx.trace


def request(*, traced: bool = False, **known: Any) -> RequestContext:
    """A planned request; `traced`: its client's trace is recorded."""
    fields: dict[str, Any] = {"fields": FIELDS, "trace_id": TRACE} if traced else {}
    return context(plan=plan_of(), group="chat", **fields, **known)
