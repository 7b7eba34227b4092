"""Which organizations have limits or choices of their own?"""

from functools import partial

from fastapi import APIRouter, Response, status
from msgspec.structs import replace

from gateway.admin.asking import Actor, House
from gateway.admin.names import OrganizationId
from gateway.admin.paging import After, Limit, Page, page_of
from gateway.admin.schemas.organizations import NewOrganization, Organization, OrganizationWishes, shown
from gateway.admin.versions import IfMatch, state_version, unchanged
from gateway.core.principal import AccountLimits
from gateway.database.rows import Organization as Row

PREFIX = "/admin/v1/organizations"


class OrganizationRoutes:
    """`/admin/v1/organizations`."""

    def __init__(self, house: House) -> None:
        self._organizations = house.database.organizations
        self._live = house.live

    def router(self) -> APIRouter:
        """The routes."""
        router = APIRouter(prefix=PREFIX, tags=["Organizations"])
        router.add_api_route("", self.create_organization, methods=["POST"], status_code=status.HTTP_201_CREATED)
        router.add_api_route("", self.list_organizations, methods=["GET"])
        router.add_api_route("/{organization:path}", self.read_organization, methods=["GET"])
        router.add_api_route("/{organization:path}", self.update_organization, methods=["PATCH"])
        router.add_api_route(
            "/{organization:path}",
            self.delete_organization,
            methods=["DELETE"],
            status_code=status.HTTP_204_NO_CONTENT,
        )
        return router

    async def create_organization(self, wishes: NewOrganization, actor: Actor, response: Response) -> Organization:
        """Give an organization limits or choices of its own. Keys may belong to one that has none."""
        row = Row(name=wishes.id, limits=self._limits(wishes, None), audit_opt_out=wishes.audit_opt_out)
        made = await self._organizations.create(row, actor=actor)
        response.headers["location"] = f"{PREFIX}/{made.name}"
        return self._shown(made, response)

    async def list_organizations(self, limit: Limit = 100, after: After = "") -> Page[Organization]:
        """Those that have limits or choices of their own, by name."""
        found = await self._organizations.list(after=after, most=limit + 1)
        return page_of(found, limit, shown, lambda row: row.name)

    async def read_organization(self, organization: OrganizationId, response: Response) -> Organization:
        """One of them; 404 for one that has nothing of its own."""
        return self._shown(await self._organizations.get(organization), response)

    async def update_organization(
        self,
        organization: OrganizationId,
        wishes: OrganizationWishes,
        actor: Actor,
        response: Response,
        if_match: IfMatch = None,
    ) -> Organization:
        """Change what is stated, and nothing else; in force from the next request on."""
        async with unchanged(partial(self._organizations.get, organization), if_match) as before:
            after = before
            if "limits" in wishes.model_fields_set:
                after = replace(after, limits=self._limits(wishes, before.limits))
            if "audit_opt_out" in wishes.model_fields_set:
                after = replace(after, audit_opt_out=wishes.audit_opt_out)
            if after != before:
                after = await self._organizations.update(after, before.version, actor=actor)
            return self._shown(after, response)

    async def delete_organization(self, organization: OrganizationId, actor: Actor, if_match: IfMatch = None) -> None:
        """Take from it what it had of its own: the settings' defaults are its limits then. Its keys stay."""
        async with unchanged(partial(self._organizations.get, organization), if_match) as before:
            await self._organizations.delete(organization, before.version, actor=actor)

    def _limits(self, wishes: OrganizationWishes, before: AccountLimits | None) -> AccountLimits | None:
        return None if wishes.limits is None else wishes.limits.over(before or self._live.defaults())

    def _shown(self, row: Row, response: Response) -> Organization:
        state_version(response, row)
        return shown(row)
