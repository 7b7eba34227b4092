"""How does an organization look to an operator?"""

from typing import Literal

from pydantic import Field

from gateway.admin.names import OrganizationId
from gateway.admin.schemas.common import Limits, Moment, Taken, limits_of, moment
from gateway.database.rows import Organization as Row


class OrganizationWishes(Taken):
    """What may be chosen about an organization; a change leaves what it does not state as it is."""

    limits: Limits | None = Field(
        default=None,
        description="null: the settings' defaults, whatever they become. An object: what it does not state is taken "
        "from the defaults as they are now; 0 is no limit.",
    )
    audit_opt_out: bool = Field(
        default=False,
        strict=True,
        description="Whether the audit trail keeps no text of its requests, whatever AUDIT_LOG says; who asked which "
        "model when is kept.",
    )


class NewOrganization(OrganizationWishes):
    """An organization that gets limits or choices of its own; one that has none needs no entry."""

    id: OrganizationId


class Organization(Taken):
    """An organization with limits or choices of its own."""

    object: Literal["organization"] = "organization"
    id: str
    limits: Limits | None = Field(description="null: the settings' defaults.")
    audit_opt_out: bool
    created_at: Moment


def shown(row: Row) -> Organization:
    """An organization as it is shown."""
    return Organization(
        id=row.name,
        limits=None if row.limits is None else limits_of(row.limits),
        audit_opt_out=row.audit_opt_out,
        created_at=moment(row.created),
    )
