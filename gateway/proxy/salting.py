"""Whose prompts may it be compared with? A planner whose plans bear their organization's salt."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from gateway.cache.salt import Salts
from gateway.core.context import RequestContext
from gateway.core.fleet import BackendGroup
from gateway.payload.peek import Peek
from gateway.payload.splice import splice
from gateway.proxy.planner import Planner
from gateway.routing.registry import Registry, Route

if TYPE_CHECKING:
    from gateway.payload.settings import PayloadSettings


class SaltingPlanner(Planner):
    """Takes the place of `Planner` with CACHE_SALT=org; otherwise nobody pays for the question.

    Args:
        registry: as the planner's.
        limits: likewise.
        context_of: likewise.
        salts: gives each organization's.
    """

    def __init__(
        self,
        registry: Registry,
        limits: "PayloadSettings",
        context_of: Callable[[BackendGroup], int | None],
        salts: Salts,
    ) -> None:
        super().__init__(registry, limits, context_of)
        self._salts = salts

    def _rewrite(self, ctx: RequestContext, peeked: Peek, route: Route) -> bytes:
        """Only what generates looks prompts up in the prefix cache, and every such path can stream."""
        body = super()._rewrite(ctx, peeked, route)
        return splice(body, self._salts.member(ctx.organization, ctx.body)) if ctx.endpoint.streams else body
