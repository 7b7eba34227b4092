"""What may an operator set about a request's life? Caps in seconds for each kind of silence, and room to run."""

from pydantic import BaseModel, Field, field_validator

LEAST_PING_SECS = 0.1
"""More often, pings cost a worker more than its answers do."""
MOST_PING_SECS = 86_400.0
"""A day; event loops fail on timers of some hundred million years."""
MOST_SEATS = 1_000_000
"""More than one host can hold."""


class ProxySettings(BaseModel):
    """Time caps, and room at the backends. There is no generation time-out: a long answer is no failure."""

    max_request_secs: float = Field(
        default=5400.0, gt=0, description="Seconds a request may live, from arrival to its last byte."
    )
    stream_idle_timeout_secs: float = Field(
        default=180.0, gt=0, description="Seconds between two tokens of a stream; comments are no tokens."
    )
    first_token_timeout_secs: float = Field(
        default=0.0,
        ge=0,
        description="Seconds until a stream's first token; 0: only MAX_REQUEST_SECS, as a request that waits in vLLM's "
        "queue is not failing.",
    )
    max_inflight_per_backend: int = Field(
        default=0,
        ge=0,
        le=MOST_SEATS,
        description="Requests that run at one backend at the same time, over all workers; more wait here instead of in "
        "vLLM's queue, where organizations take turns, for what is left of QUEUE_TIMEOUT_SECS. 0: no limit.",
    )
    max_queued_per_backend: int = Field(
        default=240,
        ge=0,
        le=MOST_SEATS,
        description="Requests that may wait so, for each backend of their group; the next one is answered 503 at once.",
    )
    stream_ping_secs: float = Field(
        default=0.0,
        ge=0,
        le=MOST_PING_SECS,
        description="Seconds between `: ping` comments while a stream's first token is awaited; 0 sends none. The "
        "answer then begins with the first ping, and a later failure is told inside the stream.",
    )

    @field_validator("stream_ping_secs")
    @classmethod
    def _seldom_or_never(cls, secs: float) -> float:
        if 0 < secs < LEAST_PING_SECS:
            raise ValueError(f"must be 0 (none) or {LEAST_PING_SECS} or more")
        return secs
