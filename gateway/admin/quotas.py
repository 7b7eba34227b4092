"""What is left of each organization's limits?"""

from datetime import date

from fastapi import APIRouter

from gateway.admin.asking import House
from gateway.admin.live import Window
from gateway.admin.names import OrganizationId
from gateway.admin.paging import After, Limit, Page, page_of
from gateway.admin.reports import Reports, Span
from gateway.admin.schemas.common import limits_of, moment
from gateway.admin.schemas.usage import Quota, Standing
from gateway.database.errors import NoSuchRecordError
from gateway.database.rows import Organization


class Quotas:
    """Limits and standings of organizations, whether or not they have an entry of their own."""

    def __init__(self, house: House) -> None:
        self._organizations = house.database.organizations
        self._live = house.live

    async def of(self, name: str) -> Quota:
        """How one stands."""
        try:
            row = await self._organizations.get(name)
        except NoSuchRecordError:
            row = Organization(name=name)
        limits = row.limits or self._live.defaults()
        return Quota(
            organization=name,
            source="defaults" if row.limits is None else "own",
            limits=limits_of(limits),
            standings=[standing_of(window) for window in await self._live.standing(name, limits)],
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
        """Organizations that have limits of their own, or have used anything this month, by name."""
        today: date = self._live.today()
        month = Span(today.replace(day=1), today)
        used = await self._reports.lines(by="organization", span=month, after=after, most=limit + 1)
        own = await self._organizations.list(after=after, most=limit + 1)
        names = sorted({*(line.heading for line in used), *(row.name for row in own)} - {""})[: limit + 1]
        found = [await self._quotas.of(name) for name in names]
        return page_of(found, limit, _itself, lambda quota: quota.organization)

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


def _itself(quota: Quota) -> Quota:
    return quota
