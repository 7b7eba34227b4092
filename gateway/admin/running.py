"""What happens now, within which limits, and what is kept of answers?"""

from fastapi import APIRouter

from gateway.admin.asking import Actor, House
from gateway.admin.fleet import Fleet
from gateway.admin.paging import MAX_PAGE
from gateway.admin.schemas.backends import Backend
from gateway.admin.schemas.common import limits_of, moment
from gateway.admin.schemas.state import Flushed, LimitsInForce, Load, State


class RunningRoutes:
    """`/admin/v1/state`, `/admin/v1/limits` and `/admin/v1/cache`."""

    def __init__(self, house: House, fleet: Fleet) -> None:
        self._house = house
        self._fleet = fleet

    def router(self) -> APIRouter:
        """The routes."""
        router = APIRouter(prefix="/admin/v1", tags=["Running"])
        router.add_api_route("/state", self.read_state, methods=["GET"])
        router.add_api_route("/limits", self.read_limits, methods=["GET"])
        router.add_api_route("/cache/flush", self.flush_cache, methods=["POST"])
        return router

    async def read_state(self) -> State:
        """What runs and waits on this host, by organization, and how its backends fare."""
        loads = sorted(
            await self._house.live.loads(), key=lambda load: (-load.in_flight, -load.queued, load.organization)
        )
        return State(
            at=moment(self._house.clock.wall()),
            in_flight=sum(load.in_flight for load in loads),
            queued=sum(load.queued for load in loads),
            organizations=[Load(**load._asdict()) for load in loads],
            backends=await self._backends(),
        )

    async def read_limits(self) -> LimitsInForce:
        """The settings' limits, which hold where neither an organization nor a key says otherwise."""
        settings = self._house.settings
        return LimitsInForce(
            defaults=limits_of(self._house.live.defaults()),
            requests_per_second=settings.max_rps_per_ip,
            burst=settings.rps_burst,
            in_flight=settings.max_inflight_per_ip,
            queued=settings.max_queued_per_ip,
            queue_timeout_seconds=settings.queue_timeout_secs,
        )

    async def flush_cache(self, actor: Actor) -> Flushed:
        """Drop all answers that this host keeps; requests that wait for one another go on."""
        flushed = await self._house.live.flush_cache()
        await self._house.database.audit.note("cache.flush", "cache", {"flushed": flushed}, actor=actor)
        return Flushed(flushed=flushed)

    async def _backends(self) -> list[Backend]:
        found = await self._fleet.fixed()
        after = ""
        while rows := await self._house.database.backends.list(after=after, most=MAX_PAGE):
            found += await self._fleet.kept(rows)
            after = rows[-1].name
        return sorted(found, key=lambda backend: backend.id)
