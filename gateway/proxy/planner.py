"""What does it ask for, and of whom? The body's deciding fields, the route, and the bytes that go to the backend."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

import orjson
from msgspec import Struct
from msgspec.structs import replace

from gateway.core.context import RequestContext
from gateway.core.endpoint import Dialect
from gateway.core.fleet import BackendGroup
from gateway.core.plan import RequestPlan
from gateway.payload.checks import check_model_fit, check_request
from gateway.payload.peek import Peek, peek
from gateway.payload.splice import splice
from gateway.payload.tools import check_tools
from gateway.routing.registry import Registry, Route

if TYPE_CHECKING:
    from gateway.payload.settings import PayloadSettings

THREAD_BYTES = 1024 * 1024
"""A body above it is peeked in a thread: 0.75 ms for 500 KB on the loop is what others may be made to wait."""
ALL_USAGE = b'"stream_options":{"include_usage":true,"continuous_usage_stats":true}'
"""Asked of every stream, so that an aborted one still knows its tokens; what the client did not ask for is cut out."""

_OPENAI = Dialect.OPENAI
_RESPONSES = Dialect.RESPONSES


class Plan(Struct, frozen=True):
    """One relayed request, decided.

    Attributes:
        route: the group and the name that was asked for.
        body: what the backend gets: the client's own bytes, with what must differ spliced in.
        peeked: what the body says.
        unshaped: the body as it was before the model's card changed it, for a fallback whose card says otherwise; empty
            where no card did, or no fallback might ask.
        headers: what the backend is told beside it.
    """

    route: Route
    body: bytes
    peeked: Peek
    unshaped: bytes = b""
    headers: tuple[tuple[bytes, bytes], ...] = ()


class Planner:
    """Plans requests before they wait for a slot, so that a mistake costs its sender nothing but the answer.

    Args:
        registry: the models.
        limits: bounds on what one request may ask for.
        context_of: the context length of a group's model in tokens, None while no backend has told it.
    """

    def __init__(
        self, registry: Registry, limits: "PayloadSettings", context_of: Callable[[BackendGroup], int | None]
    ) -> None:
        self._registry = registry
        self._limits = limits
        self.context_of = context_of

    def follow(self, registry: Registry) -> None:
        """These are the models, from the next request on."""
        self._registry = registry

    def plan(self, ctx: RequestContext) -> Awaitable[None] | None:
        """Set `ctx.plan`, or raise what is wrong with the body as a GatewayError: at once, or where that is awaited."""
        if len(ctx.body) > THREAD_BYTES:
            return self._plan_aside(ctx)
        self._settle(ctx, self._decide(ctx))
        return None

    async def _plan_aside(self, ctx: RequestContext) -> None:
        self._settle(ctx, await asyncio.to_thread(self._decide, ctx))

    def _settle(self, ctx: RequestContext, plan: Plan) -> None:
        ctx.plan = plan
        ctx.group = plan.route.group.name
        ctx.streamed = plan.peeked.stream and ctx.endpoint.streams
        ctx.body = b""
        ctx.shareable = plan.peeked.temperature in ctx.endpoint.shared_at

    def replan(self, ctx: RequestContext, plan: RequestPlan, group: BackendGroup) -> Plan:
        """The same request for another group, under whose model's name it goes on; its answer bears the name asked for.

        Raises:
            GatewayError: that model cannot do what is asked.
        """
        assert isinstance(plan, Plan)  # noqa: S101 -- all plans are made here
        base = splice(plan.unshaped or plan.body, b'"model":' + orjson.dumps(group.model))
        peeked = _restated(plan.peeked, plan.unshaped) if plan.unshaped else plan.peeked
        return self._shaped(ctx, Route(group, plan.route.asked), base, peeked)

    def _decide(self, ctx: RequestContext) -> Plan:
        peeked = peek(ctx.body)
        route = self._registry.resolve(ctx.endpoint, peeked.model, ctx.principal.models)
        check_request(peeked, ctx.endpoint.dialect, self._limits)
        group = route.group
        if group.shape is not None or peeked.has_tools:
            return self._shaped(ctx, route, self._rewrite(ctx, peeked, route), peeked)
        check_model_fit(peeked, context=self.context_of(group))
        return Plan(route, self._rewrite(ctx, peeked, route), peeked)

    def _shaped(self, ctx: RequestContext, route: Route, base: bytes, peeked: Peek) -> Plan:
        """The plan of a request that the model's card may change, or that has tools.

        Args:
            ctx: the request.
            route: where it goes.
            base: what the backend would get if there were no card.
            peeked: what it says; what the card may change of that is read anew.
        """
        group, endpoint, priority = route.group, ctx.endpoint, ctx.principal.priority
        members = b""
        headers: tuple[tuple[bytes, bytes], ...] = ()
        if group.shape is not None:
            members, headers = group.shape.members(endpoint, base, priority), group.shape.headers(endpoint, priority)
        body = base
        if members:
            body = splice(base, members)
            peeked = _restated(peeked, body)
        check_model_fit(peeked, context=self.context_of(group))
        if peeked.has_tools:
            check_tools(base, endpoint.dialect, parser=group.tool_parser, model=route.asked)
        return Plan(route, body, peeked, base if members and group.fallback else b"", headers)

    def _rewrite(self, ctx: RequestContext, peeked: Peek, route: Route) -> bytes:
        endpoint = ctx.endpoint
        members: list[bytes] = []
        if peeked.model != route.group.model:
            members.append(b'"model":' + orjson.dumps(route.group.model))
        counts = endpoint.streams and endpoint.dialect is _OPENAI
        if peeked.stream and counts and not (peeked.include_usage and peeked.continuous_usage):
            members.append(ALL_USAGE)
        if endpoint.dialect is _RESPONSES:
            # Only here does vLLM take its answer's id from the body, and from it alone; see proxy.identity.
            members.append(b'"request_id":"resp_%b"' % ctx.request_id.encode())
        return splice(ctx.body, b",".join(members)) if members else ctx.body


def _restated(peeked: Peek, body: bytes) -> Peek:
    """The same with what a card may have changed as that body has it; all else is the client's alone to say."""
    found = peek(body)
    return replace(peeked, max_tokens=found.max_tokens, temperature=found.temperature)
