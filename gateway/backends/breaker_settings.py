"""When does a backend that keeps failing get no more requests, and for how long? What an operator may set."""

from pydantic import Field

from gateway.backends.choices import BackendsShared
from gateway.core.room_settings import RoomSettings


class BreakerSettings(RoomSettings):
    """The circuit breaker: each backend has one, of all workers, and of all hosts if it is one server for them."""

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
    backends_shared: BackendsShared = Field(
        default=BackendsShared.AUTO,
        description="Which backends' URLs mean one server for all hosts, whose circuit, seats and drain they then have "
        "in common: auto: all but loopback addresses, what a host calls itself (localhost, host.docker.internal) and "
        "names without a dot, as of Compose's containers; on: all; off: none, each host has servers of its own.",
    )
