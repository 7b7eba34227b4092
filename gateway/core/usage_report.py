"""How is it told what was used, and what is left? What `/v1/usage` answers, which two processes have to spell alike.

The control process answers it, workers document it. Nothing that serves a request loads this.
"""

from datetime import date
from typing import Annotated, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field


class _Closed(BaseModel):
    model_config = ConfigDict(extra="forbid")


class UsageLine(_Closed):
    """What was used under one heading."""

    heading: str = Field(
        description="A key's id (empty: GATEWAY_API_KEY), an organization, a model, or a date, as `by` says."
    )
    requests: int = Field(description="Those that ran or were answered from a cache.")
    prompt_tokens: int
    completion_tokens: int
    total_tokens: int


class Days(_Closed):
    """Whole days, the first and the last included."""

    model_config = ConfigDict(populate_by_name=True)

    first_day: date = Field(alias="from", description="In QUOTA_TIMEZONE, as `to`.")
    last_day: date = Field(alias="to", description="The last day that counts.")


LimitName = Literal[
    "requests_per_minute",
    "tokens_per_minute",
    "requests_per_day",
    "tokens_per_day",
    "requests_per_month",
    "tokens_per_month",
]


class Standing(_Closed):
    """How one limit stands."""

    limit: LimitName
    allowed: int
    used: int = Field(description="What is reserved for running requests included.")
    remaining: Annotated[int, Field(ge=0)]
    resets_at: AwareDatetime = Field(description="When all of it is there again.")


class OwnUsage(Days):
    """What a client has used itself, and what is left."""

    object: Literal["usage"] = "usage"
    organization: str
    key_id: str | None = Field(description="null: the request came with a key that many share.")
    by: Literal["model", "day"]
    data: list[UsageLine]
    organization_limits: list[Standing] = Field(description="Shared by all keys of the organization.")
    key_limits: list[Standing]
