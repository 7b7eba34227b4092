"""How is usage told, and what is left of limits?"""

from datetime import date
from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from gateway.admin.schemas.common import Limits, Moment, Taken


class UsageLine(Taken):
    """What was used under one heading."""

    heading: str = Field(
        description="A key's id (empty: GATEWAY_API_KEY), an organization, a model, or a date, as `by` says."
    )
    requests: int = Field(description="Those that ran or were answered from a cache.")
    prompt_tokens: int
    completion_tokens: int
    total_tokens: int


class Days(Taken):
    """Whole days, the first and the last included."""

    model_config = ConfigDict(populate_by_name=True)

    first_day: date = Field(alias="from", description="In QUOTA_TIMEZONE, as `to`.")
    last_day: date = Field(alias="to", description="The last day that counts.")


class Usage(Days):
    """A page of a report over whole days."""

    object: Literal["usage"] = "usage"
    by: Literal["key", "organization", "model", "day"]
    data: list[UsageLine]
    has_more: bool
    last_id: str | None


LimitName = Literal[
    "requests_per_minute",
    "tokens_per_minute",
    "requests_per_day",
    "tokens_per_day",
    "requests_per_month",
    "tokens_per_month",
]


class Standing(Taken):
    """How one limit stands."""

    limit: LimitName
    allowed: int
    used: int = Field(description="What is reserved for running requests included.")
    remaining: Annotated[int, Field(ge=0)]
    resets_at: Moment = Field(description="When all of it is there again.")


class Quota(Taken):
    """How the limits of an organization stand."""

    object: Literal["quota"] = "quota"
    organization: str
    source: Literal["own", "defaults"] = Field(description="Whose limits: its own, or the settings'.")
    limits: Limits
    standings: list[Standing] = Field(description="One for each limit that there is.")


class OwnUsage(Days):
    """What a client has used itself, and what is left."""

    object: Literal["usage"] = "usage"
    organization: str
    key_id: str | None = Field(description="null: the request came with a key that many share.")
    by: Literal["model", "day"]
    data: list[UsageLine]
    organization_limits: list[Standing] = Field(description="Shared by all keys of the organization.")
    key_limits: list[Standing]
