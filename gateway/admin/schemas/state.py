"""What runs now, which limits are in force, and who changed what?"""

from typing import Literal

from pydantic import Field, JsonValue

from gateway.admin.schemas.backends import Backend
from gateway.admin.schemas.common import Limits, Moment, Taken


class Load(Taken):
    """What an organization has at this moment."""

    organization: str
    in_flight: int
    queued: int


class State(Taken):
    """What this host does at this moment."""

    object: Literal["state"] = "state"
    at: Moment
    in_flight: int = Field(description="Of the organizations below together.")
    queued: int
    organizations: list[Load] = Field(description="Those of this host that run or wait most, ten at the most.")
    backends: list[Backend]


class LimitsInForce(Taken):
    """The settings' limits; organizations and keys may have their own."""

    object: Literal["limits"] = "limits"
    defaults: Limits = Field(description="Of an organization that has none of its own.")
    requests_per_second: float = Field(description="Of each organization; MAX_RPS_PER_IP. 0: no limit.")
    burst: float = Field(description="Requests that may come at once after a pause.")
    in_flight: int = Field(description="Of each organization; MAX_INFLIGHT_PER_IP.")
    queued: int = Field(description="Likewise; MAX_QUEUED_PER_IP.")
    queue_timeout_seconds: float


class Flushed(Taken):
    """The answers that were kept are gone."""

    object: Literal["cache"] = "cache"
    flushed: int = Field(description="How many answers this host had.")


class AuditEntry(Taken):
    """One change."""

    object: Literal["audit"] = "audit"
    id: str
    at: Moment
    actor: str = Field(description="Which admin key by its place in ADMIN_API_KEY, and what X-Admin-Actor said.")
    action: str
    target: str
    before: dict[str, JsonValue] | None
    after: dict[str, JsonValue] | None
