"""How many at once? The admission queue's settings."""

from pydantic import BaseModel, Field


class AdmissionSettings(BaseModel):
    """Slots per organization, and the queue in front of them."""

    max_inflight_per_ip: int = Field(
        120,
        ge=1,
        description="Requests of one organization that run at the same time, over all workers; 1 at the least.",
    )
    queue_timeout_secs: float = Field(
        2.0, ge=0, description="Seconds a request waits for a slot before it is answered 429; 0 refuses at once."
    )
    max_queued_per_ip: int = Field(
        240, ge=0, description="Requests of one organization that wait for a slot; 0 means that nobody waits."
    )
