"""When does a backend that keeps failing get no more requests, and for how long? What an operator may set."""

from pydantic import Field

from gateway.backends.choices import CircuitsShared
from gateway.core.room_settings import RoomSettings


class BreakerSettings(RoomSettings):
    """The circuit breaker, of which each backend has one that all workers share."""

    circuit_failure_threshold: int = Field(
        default=5,
        ge=1,
        description="Failures of a backend in a row, over all workers, after which it gets no requests for a while.",
    )
    circuit_recovery_timeout: float = Field(
        default=30.0,
        gt=0,
        description="Seconds after which one request tries whether such a backend works again; doubled, with jitter, "
        "each time it does not. Nobody waits longer than this for that request's end.",
    )
    circuit_max_recovery_secs: float = Field(
        default=300.0,
        gt=0,
        description="Seconds beyond which CIRCUIT_RECOVERY_TIMEOUT is not doubled.",
    )
    circuits_shared: CircuitsShared = Field(
        default=CircuitsShared.AUTO,
        description="Which backends' circuits hosts with one REDIS_URL have in common, by URL: auto: all but those at "
        "a loopback address, where each host has a server of its own; on: those too; off: none, where one URL means "
        "another server on each host.",
    )
