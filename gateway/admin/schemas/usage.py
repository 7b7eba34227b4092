"""How is usage told to operators, and how the limits of an organization?"""

from typing import Literal

from pydantic import Field

from gateway.admin.schemas.common import Limits, Taken
from gateway.core.usage_report import Days, Standing, UsageLine


class Usage(Days):
    """A page of a report over whole days."""

    object: Literal["usage"] = "usage"
    by: Literal["key", "organization", "model", "day"]
    data: list[UsageLine]
    has_more: bool
    last_id: str | None


class Quota(Taken):
    """How the limits of an organization stand."""

    object: Literal["quota"] = "quota"
    organization: str
    source: Literal["own", "defaults"] = Field(description="Whose limits: its own, or the settings'.")
    limits: Limits
    standings: list[Standing] = Field(description="One for each limit that there is.")
