"""What is left of each organization's limits?"""

from fastapi import APIRouter

from gateway.admin.asking import House
from gateway.admin.live import Window
from gateway.admin.names import OrganizationId
from gateway.admin.paging import After, Limit, Page
from gateway.admin.reports import UNNAMED, Reports, Span
from gateway.admin.schemas.common import limits_of, moment
from gateway.admin.schemas.usage import Quota
from gateway.core.usage_report import Standing
from gateway.database.errors import NoSuchRecordError
from gateway.database.rows import Organization

OWN, USED = "own", "used"
"""What a page ended with: organizations that have an entry, or those that do not."""


class Quotas:
    """Limits and standings of organizations, whether or not they have an entry of their own."""

    def __init__(self, house: House) -> None:
        self._organizations = house.database.organizations
        self._live = house.live

    async def of(self, name: str) -> Quota:
        """How one stands."""
        return await self.as_in(await self.entry(name) or Organization(name=name))

    async def entry(self, name: str) -> Organization | None:
        """What an organization has of its own; None: nothing."""
        try:
            return await self._organizations.get(name)
        except NoSuchRecordError:
            return None

    async def as_in(self, row: Organization) -> Quota:
        """How one stands whose entry is known."""
        limits = row.limits or self._live.defaults()
        return Quota(
            organization=row.name,
            source="defaults" if row.limits is None else "own",
            limits=limits_of(limits),
            standings=[standing_of(window) for window in await self._live.standing(row.name, limits)],
        )


class QuotaRoutes:
    """`/admin/quotas` and `/admin/quota/{organization}`."""

    def __init__(self, house: House, quotas: Quotas) -> None:
        self._organizations = house.database.organizations
        self._reports = Reports(house.database.usage, house.live)
        self._live = house.live
        self._quotas = quotas

    def router(self) -> APIRouter:
        """The routes."""
        router = APIRouter(prefix="/admin", tags=["Quotas"])
        router.add_api_route("/quotas", self.list_quotas, methods=["GET"])
        router.add_api_route("/quota/{organization:path}", self.read_quota, methods=["GET"])
        return router

    async def list_quotas(self, limit: Limit = 100, after: After = "") -> Page[Quota]:
        """Organizations with an entry of their own, then the others that have used anything this month, by name."""
        kind, _, name = after.partition("/")
        rows = [] if kind == USED else await self._organizations.list(after=name, most=limit)
        found = [await self._quotas.as_in(row) for row in rows]
        if len(rows) == limit:
            return Page(data=found, has_more=True, last_id=f"{OWN}/{rows[-1].name}")
        room = limit - len(rows)
        today = self._live.today()
        month = Span(today.replace(day=1), today)
        start = name if kind == USED else UNNAMED
        used = await self._reports.lines(by="organization", span=month, after=start, most=room + 1)
        others = [Organization(name=line.heading) for line in used[:room]]
        found += [await self._quotas.as_in(row) for row in others if await self._quotas.entry(row.name) is None]
        last = f"{USED}/{used[:room][-1].heading}" if used else f"{OWN}/{rows[-1].name}" if rows else None
        return Page(data=found, has_more=len(used) > room, last_id=last)

    async def read_quota(self, organization: OrganizationId) -> Quota:
        """One organization; `192.0.2.7` means `ip:192.0.2.7`."""
        return await self._quotas.of(organization)


def standing_of(window: Window) -> Standing:
    """A limit as it is shown."""
    return Standing.model_validate(
        {
            "limit": window.field,
            "allowed": window.limit,
            "used": window.used,
            "remaining": max(0, window.limit - window.used),
            "resets_at": moment(window.resets_at),
        }
    )
