"""What do the admin API's bodies share? Closed objects, limits, times, and the one spelling of a failure."""

from datetime import UTC, datetime
from typing import Annotated

from msgspec.structs import asdict
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from gateway.admin.names import TEXT
from gateway.core.principal import AccountLimits

MOST = 10**15
"""More tokens than any account could use, and exact in every reader of JSON."""
LATEST = 253_370_764_800.0
"""Seconds since 1970: the year 9999 has begun nowhere yet."""


class Taken(BaseModel):
    """An object that is taken: a field that it does not know is a mistake, not a wish that nobody hears."""

    model_config = ConfigDict(extra="forbid")


Count = Annotated[int, Field(strict=True, ge=0, le=MOST)]
Text = Annotated[str, Field(max_length=200, pattern=TEXT)]


class Limits(Taken):
    """What one account may use; 0 is no limit."""

    requests_per_minute: Count = Field(default=0, description="Refilled continuously.")
    tokens_per_minute: Count = Field(default=0, description="Prompt and completion together; refilled continuously.")
    requests_per_day: Count = Field(default=0, description="By the calendar of QUOTA_TIMEZONE.")
    tokens_per_day: Count = Field(default=0, description="By the calendar; prompt and completion together.")
    requests_per_month: Count = Field(default=0, description="By the calendar.")
    tokens_per_month: Count = Field(default=0, description="By the calendar; prompt and completion together.")

    def over(self, before: AccountLimits) -> AccountLimits:
        """Those limits with the ones that were stated in the place of theirs."""
        return AccountLimits(**{**asdict(before), **self.model_dump(exclude_unset=True)})


def limits_of(limits: AccountLimits) -> Limits:
    """Limits as they are shown: all of them."""
    return Limits(**asdict(limits))


def moment(seconds: float) -> datetime:
    """A time as it is shown: ISO 8601 in UTC."""
    return datetime.fromtimestamp(min(seconds, LATEST), UTC)


def moment_or_none(seconds: float | None) -> datetime | None:
    """The same of a time that may not be."""
    return None if seconds is None else moment(seconds)


Moment = Annotated[AwareDatetime, Field(description="ISO 8601 with its zone.")]


class Failure(BaseModel):
    """What went wrong, for people and programs."""

    message: str = Field(description="A sentence for people.")
    type: str = Field(description="The class of the failure.")
    param: str | None = Field(description="The field at fault, if one is.")
    code: str = Field(description="A stable word for programs.")


class ErrorEnvelope(BaseModel):
    """How every failure is spelled."""

    error: Failure
