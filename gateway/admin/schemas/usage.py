"""How is usage told to operators, and how the limits of an organization?"""

from typing import Literal

from pydantic import Field

from gateway.admin.schemas.common import Limits, Moment, Taken
from gateway.core.usage_report import Days, Standing, UsageLine


class Usage(Days):
    """A page of a report over whole days."""

    object: Literal["usage"] = "usage"
    by: Literal["key", "organization", "model", "day"]
    data: list[UsageLine]
    has_more: bool
    last_id: str | None


class UsedRequest(Taken):
    """One request, as it was booked."""

    request_id: str = Field(description="As in `x-request-id` and in the access log.")
    ended_at: Moment
    organization: str
    key_id: str | None = Field(description="null: GATEWAY_API_KEY.")
    model: str
    path: str
    status: int = Field(description="499: the client left before the answer began; 0: `worker_died`.")
    outcome: str = Field(description="As in the access log; `worker_died` where nobody lived to say it.")
    prompt_tokens: int
    completion_tokens: int
    estimated: bool = Field(description="The backend stated no figures.")
    backend: str | None = Field(description="Which one answered.")
    cached: bool = Field(description="Answered without a backend.")


class UsedRequests(Days):
    """A page of single requests."""

    object: Literal["list"] = "list"
    data: list[UsedRequest] = Field(description="Newest first, by what a worker wrote down together.")
    has_more: bool = Field(description="Whether another page follows, also where this one is short or empty.")
    last_id: str | None = Field(description="What `after` takes for the next page; null: there is none.")


class Quota(Taken):
    """How the limits of an organization stand."""

    object: Literal["quota"] = "quota"
    organization: str
    source: Literal["own", "defaults"] = Field(description="Whose limits: its own, or the settings'.")
    limits: Limits
    standings: list[Standing] = Field(description="One for each limit that there is.")
