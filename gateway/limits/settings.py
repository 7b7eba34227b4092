"""How fast may an organization ask? The rate limits' settings."""

from typing import Annotated

from pydantic import AfterValidator, Field

from gateway.core.room_settings import RoomSettings
from gateway.limits.calendar import zone_of

LEAST_RATE = 1e-5
"""About one request a day: figures of less than that fill headers with hundreds of digits, as those of more than
`MOST` do."""

MOST = 1_000_000.0
"""Requests a second, or at once: twenty times what a host can take."""

MOST_WINDOW_SECS = 86_400.0


MOST_COUNTED = 10**15
"""Requests or tokens of a window: what the counters hold with room to spare."""


def _known_zone(name: str) -> str:
    zone_of(name)
    return name


Zone = Annotated[str, AfterValidator(_known_zone)]


def _slow_or_off(rate: float) -> float:
    if 0 < rate < LEAST_RATE:
        raise ValueError(f"must be 0 (off) or {LEAST_RATE:.5f} or more")
    return rate


Rate = Annotated[float, AfterValidator(_slow_or_off)]


class LimitsSettings(RoomSettings):
    """Rates per organization (a client's address), and for addresses that fail to authenticate."""

    max_rps_per_ip: Rate = Field(
        50.0,
        ge=0,
        le=MOST,
        description="Requests a second per organization, on average; 0 switches the rate limit off.",
    )
    rps_window_secs: float = Field(
        1.0,
        gt=0,
        le=MOST_WINDOW_SECS,
        description="Seconds of MAX_RPS_PER_IP that may be saved up, where that is more than RPS_BURST.",
    )
    rps_burst: float = Field(
        100.0,
        ge=0,
        le=MOST,
        description="Requests that may come at once after a pause; 0 leaves it to RPS_WINDOW_SECS.",
    )
    failed_auth_per_sec: Rate = Field(
        1.0,
        ge=0,
        le=MOST,
        description="Failed authentications a second per address, on average; 0 switches this limit off.",
    )
    failed_auth_burst: float = Field(
        20.0,
        ge=1,
        le=MOST,
        description="Failed authentications at once from one address before it is answered 429.",
    )

    org_daily_token_limit: int = Field(
        10_000_000,
        ge=0,
        le=MOST_COUNTED,
        description="Tokens, of prompts and answers, that an organization may use in a day; 0 is no limit.",
    )
    org_daily_request_limit: int = Field(
        100_000, ge=0, le=MOST_COUNTED, description="Requests that an organization may make in a day; 0 is no limit."
    )
    org_monthly_token_limit: int = Field(
        300_000_000, ge=0, le=MOST_COUNTED, description="Tokens that it may use in a calendar month; 0 is no limit."
    )
    org_monthly_request_limit: int = Field(
        0, ge=0, le=MOST_COUNTED, description="Requests that it may make in a calendar month; 0 is no limit."
    )
    quota_timezone: Zone = Field(
        "UTC", description="Time zone whose midnights renew the quotas, such as Europe/Berlin."
    )
    max_estimated_tokens: int = Field(
        1024,
        ge=1,
        le=1_000_000,
        description="Tokens set aside for each choice of an answer whose request states no max_tokens.",
    )
