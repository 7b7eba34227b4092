"""Who changed what? The audit trail, newest first; nobody can change it, the database sees to that."""

from typing import Annotated

from fastapi import APIRouter, Query

from gateway.admin.asking import House
from gateway.admin.paging import Limit, Page, page_of
from gateway.admin.schemas.common import moment
from gateway.admin.schemas.state import AuditEntry
from gateway.database.rows import AuditEntry as Row

Target = Annotated[
    str | None,
    Query(max_length=300, pattern=r"^[^\x00-\x1f\x7f]*$", description="Changes of this id or name alone."),
]
Before = Annotated[
    int | None, Query(alias="after", ge=1, le=2**63 - 1, description="`last_id` of the page before, which was newer.")
]


class AuditRoutes:
    """`/admin/v1/audit`."""

    def __init__(self, house: House) -> None:
        self._audit = house.database.audit

    def router(self) -> APIRouter:
        """The routes."""
        router = APIRouter(prefix="/admin/v1", tags=["Audit"])
        router.add_api_route("/audit", self.list_changes, methods=["GET"])
        return router

    async def list_changes(self, limit: Limit = 100, before: Before = None, target: Target = None) -> Page[AuditEntry]:
        """Every change, newest first: who, what, before and after. No key and no hash of one stands there."""
        found = await self._audit.list(target=target, before=before, most=limit + 1)
        return page_of(found, limit, shown, lambda row: str(row.id))


def shown(row: Row) -> AuditEntry:
    """A change as it is shown."""
    return AuditEntry(
        id=str(row.id),
        at=moment(row.at),
        actor=row.actor,
        action=row.action,
        target=row.target,
        before=row.before,
        after=row.after,
    )
