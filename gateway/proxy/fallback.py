"""Who answers in its stead? The fallback of a group that is down or overloaded, for the same request."""

from collections.abc import Iterable
from http import HTTPStatus

from gateway.core.context import RequestContext
from gateway.core.errors import GatewayError
from gateway.core.fleet import BackendGroup
from gateway.core.plan import RequestPlan
from gateway.observability.families.backends import FALLBACKS
from gateway.observability.metrics import Metrics
from gateway.proxy.attempts import Attempt
from gateway.proxy.dispatcher import Dispatcher
from gateway.proxy.planner import Plan, Planner
from gateway.proxy.unavailable import NoBackendError, NoFreeSeatError, SuspectedError

HEADER = b"x-gateway-fallback"
ITS_OWN = frozenset(
    {
        HTTPStatus.BAD_REQUEST,
        HTTPStatus.NOT_FOUND,
        HTTPStatus.METHOD_NOT_ALLOWED,
        HTTPStatus.UNPROCESSABLE_ENTITY,
        HTTPStatus.NOT_IMPLEMENTED,
    }
)
"""Statuses that a request may earn at the fallback's model alone: a shorter context, tools without a parser, no such
path. The client's own mistakes are found before it is asked, or once its group is back."""


class Fallbacks:
    """Takes a request that no backend of its group took to the group's fallback, and to no third.

    Args:
        groups: all of them.
        planner: rewrites the request for another model.
        dispatcher: opens a reply there.
        metrics: counts.
    """

    def __init__(
        self, groups: Iterable[BackendGroup], planner: Planner, dispatcher: Dispatcher, metrics: Metrics
    ) -> None:
        self.follow(groups)
        self._planner = planner
        self._dispatcher = dispatcher
        self._metrics = metrics

    def follow(self, groups: Iterable[BackendGroup]) -> None:
        """These are all groups from now on."""
        by_name = {group.name: group for group in groups}
        self._fallbacks = {group.name: by_name[group.fallback] for group in by_name.values() if group.fallback}

    async def open(self, ctx: RequestContext, plan: RequestPlan, refusal: NoBackendError) -> Attempt:
        """The reply of the fallback, whose plan is the request's from here on.

        The client sees the name that it asked for; `x-gateway-fallback` names the group, on errors too, unless the
        head is out already (pings).

        Where the request's own group is only full, or only suspected to hang, the fallback is asked at once and not
        waited for; if it cannot have the request now, the request waits for its own group, and after that it is as with
        any other refusal.

        Raises:
            NoBackendError: there is no fallback, it cannot stand in here, or it does not answer either: why the
                request's own group does not.
            MayHaveRun: a backend took the request and broke off.
        """
        if isinstance(refusal, NoFreeSeatError | SuspectedError):
            try:
                return await self._stand_in(ctx, plan, refusal, wait=False)
            except NoBackendError:
                pass
            try:
                return await self._dispatcher.open(ctx, plan, wait=True)
            except NoBackendError as at_last:
                refusal = at_last
        return await self._stand_in(ctx, plan, refusal, wait=True)

    async def _stand_in(
        self, ctx: RequestContext, plan: RequestPlan, refusal: NoBackendError, *, wait: bool
    ) -> Attempt:
        """The reply of the fallback; raises `refusal` if it gives none that could be passed on."""
        other = self._planned(ctx, plan)
        if other is None:
            raise refusal
        group = other.route.group
        field = (HEADER, group.name.encode())
        ctx.answer_headers.append(field)
        try:
            attempt = await self._dispatcher.open(ctx, other, wait=wait)
        except NoBackendError:
            ctx.answer_headers.remove(field)
            raise refusal from None
        if attempt.reply.status in ITS_OWN:
            self._dispatcher.attempts.close(attempt)
            ctx.answer_headers.remove(field)
            raise refusal
        self._metrics.count(FALLBACKS, plan.route.group.name, group.name)
        ctx.plan = other
        return attempt

    def _planned(self, ctx: RequestContext, plan: RequestPlan) -> Plan | None:
        """The plan for the fallback; None where it cannot stand in."""
        endpoint = ctx.endpoint
        group = self._fallbacks.get(plan.route.group.name)
        # What needs no engine counts a model's own tokens: another model's count is a wrong answer.
        if group is None or not endpoint.uses_engine:
            return None
        # A path of one model (/v1/text2sql) leaves it to the operator who may answer there.
        if group.kind not in endpoint.kinds and not endpoint.pinned:
            return None
        try:
            return self._planner.replan(ctx, plan, group)
        except GatewayError:
            return None  # it asks for more than this model can: it is not the client's mistake
