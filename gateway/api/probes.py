"""Does the process live, can it serve, and what of each backend? Answers for load balancers, Compose and operators."""

from gateway.api.fleet import FleetView
from gateway.api.own_path import OwnPath
from gateway.api.schemas.own import Alive, BackendReport, HealthReport, Ready
from gateway.backends.health import IN_ROTATION
from gateway.backends.reasons import EXPLANATIONS
from gateway.backends.view import BackendStatus
from gateway.core.clock import Clock
from gateway.core.errors import UnavailableError

_UNCACHED = (b"cache-control", b"no-store")
"""A cached verdict is a wrong one."""


class NotReadyError(UnavailableError):
    """No chat backend can answer; the code is the reason."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"Not ready: no chat backend can answer ({reason}).", headers=[_UNCACHED])
        self.code = reason


def probes_paths(fleet: FleetView, clock: Clock) -> list[OwnPath]:
    """`/health`, `/ready` and `/health/detailed`."""

    def health() -> Alive:
        """The process lives; says nothing of backends, so that an outage of theirs restarts no gateway."""
        return Alive()

    def ready() -> Ready:
        """A chat backend is reachable and has its model; otherwise 503, with the reason as the error's code."""
        verdict = fleet.ready()
        if not verdict.ready:
            raise NotReadyError(verdict.reason)
        return Ready()

    def detailed_health() -> HealthReport:
        """Every backend by its name, with its state, the reason and the last probe's latency, as all workers see them.

        Whoever has a client's key may ask: addresses of backends are not told.
        """
        verdict = fleet.ready()
        statuses = fleet.statuses()
        whole = verdict.ready and all(status.health.state in IN_ROTATION for status in statuses)
        now = clock.monotonic()
        return HealthReport(
            status="ok" if whole else "degraded" if verdict.ready else "unavailable",
            reason=verdict.reason,
            backends=[_report(status, now) for status in statuses],
        )

    return [
        OwnPath("/health", "Health", health, headers=[_UNCACHED]),
        OwnPath("/ready", "Health", ready, headers=[_UNCACHED]),
        OwnPath("/health/detailed", "Health", detailed_health, headers=[_UNCACHED]),
    ]


def _report(status: BackendStatus, now: float) -> BackendReport:
    health = status.health
    return BackendReport(
        name=status.backend.name,
        group=status.group.name,
        model=status.group.model,
        state=health.state.value,
        reason=health.reason,
        explanation=EXPLANATIONS[health.reason],
        since_secs=round(now - health.since, 1),
        latency_ms=None if health.latency is None else round(health.latency * 1000, 2),
        models=list(health.models),
        max_model_len=health.max_model_len,
        in_flight=status.in_flight,
        running=None if health.running is None else int(health.running),
        waiting=None if health.waiting is None else int(health.waiting),
    )
