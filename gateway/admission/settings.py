"""How many at once? The admission queue's settings."""

from pydantic import Field

from gateway.core.room_settings import RoomSettings

MAX_COUNTED = 1_000_000
"""More than one host can hold; the store counts in numbers of 4 bytes."""

MAX_PATIENCE_SECS = 86_400.0
"""A day; event loops fail on timers of some hundred million years."""


class AdmissionSettings(RoomSettings):
    """Slots per organization, and the queue in front of them."""

    max_inflight_per_ip: int = Field(
        120,
        ge=1,
        le=MAX_COUNTED,
        description="Requests of one organization that run at the same time, over all workers; 1 at the least.",
    )
    queue_timeout_secs: float = Field(
        2.0,
        ge=0,
        le=MAX_PATIENCE_SECS,
        description="Seconds a request waits for a slot before it is answered 429; 0 refuses at once.",
    )
    max_queued_per_ip: int = Field(
        240,
        ge=0,
        le=MAX_COUNTED,
        description="Requests of one organization that wait for a slot; 0 means that nobody waits.",
    )
