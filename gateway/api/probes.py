"""Does the process live, can it serve, and what of each backend? Answers for load balancers, Compose and operators."""

from collections.abc import Callable, Sequence

from gateway.api.fleet import KEYS_UNKNOWN, FleetView
from gateway.api.own_path import OwnPath
from gateway.api.schemas.own import Alive, BackendReport, HealthReport, Ready
from gateway.backends.health import State
from gateway.backends.reasons import EXPLANATIONS, Reason, explain_circuit
from gateway.backends.view import FALLBACK, BackendStatus
from gateway.core.clock import Clock
from gateway.core.errors import UnavailableError

_UNCACHED = (b"cache-control", b"no-store")
"""A cached verdict is a wrong one."""
LIMITS_SPLIT = "limits_split"
LIMITS_NOT_SHARED = "limits_not_shared"
_WORST_FIRST = (State.DOWN, State.DRAINING, State.LOADING)
"""The states in which a backend has not its share of the requests."""


class NotReadyError(UnavailableError):
    """No chat backend can answer, or whoever has a key cannot be answered yet; the code is the reason."""

    def __init__(self, reason: str) -> None:
        what = "no API key is known yet" if reason == KEYS_UNKNOWN else "no chat backend can answer"
        super().__init__(f"Not ready: {what} ({reason}).", headers=[_UNCACHED])
        self.code = reason


def probes_paths(
    fleet: FleetView, neighbours: Callable[[], list[str]], is_away: Callable[[], bool | None], clock: Clock
) -> list[OwnPath]:
    """`/health`, `/ready` and `/health/detailed`.

    Args:
        fleet: the backends' state.
        neighbours: other hosts that grant the same limits once more.
        is_away: whether the server that hosts share does not decide about limits now; None: hosts share none.
        clock: for how long.
    """

    def health() -> Alive:
        """The process lives; says nothing of backends, so that an outage of theirs restarts no gateway."""
        return Alive()

    def ready() -> Ready:
        """A chat backend is in rotation, or its group's fallback is; otherwise 503, with the reason as the code.

        On a host that has just begun it is 503 `keys_unknown` until it knows its API keys, for seconds at the most.
        """
        verdict = fleet.ready()
        if not verdict.ready:
            raise NotReadyError(verdict.reason)
        if verdict.reason == Reason.NOT_WATCHED:
            return Ready(reason="not_watched")
        return Ready(reason="fallback" if verdict.reason == FALLBACK else "ok")

    def detailed_health() -> HealthReport:
        """Every backend by its name, with its state, the reason, its circuit and the last probe's latency.

        Whoever has a client's key may ask: addresses of backends are not told.
        """
        verdict = fleet.ready()
        statuses = fleet.statuses()
        others = neighbours()
        away = is_away()
        worst = _worst(statuses) or (LIMITS_NOT_SHARED if away else LIMITS_SPLIT if others else "")
        now = clock.monotonic()
        return HealthReport(
            status="unavailable" if not verdict.ready else "degraded" if worst else "ok",
            reason=verdict.reason if not verdict.ready else worst or Reason.OK,
            backends=[_report(status, now) for status in statuses],
            limits_shared=None if away is None else not away,
            limits_split_with=others,
        )

    return [
        OwnPath("/health", "Health", health, headers=[_UNCACHED]),
        OwnPath("/ready", "Health", ready, headers=[_UNCACHED]),
        OwnPath("/health/detailed", "Health", detailed_health, headers=[_UNCACHED]),
    ]


def _worst(statuses: Sequence[BackendStatus]) -> str:
    """What the backend has that is worst off; empty where all are well."""
    if any(status.health.reason is Reason.NOT_WATCHED for status in statuses):
        return Reason.NOT_WATCHED
    for state in _WORST_FIRST:
        for status in statuses:
            if status.health.state is state:
                return status.health.reason
    return next((f"circuit_{status.circuit.standing}" for status in statuses if not status.well), "")


def _report(status: BackendStatus, now: float) -> BackendReport:
    health, (standing, why, retry_at) = status.health, status.circuit
    sentences = [EXPLANATIONS[health.reason], *([] if why is None else [explain_circuit(standing, why)])]
    return BackendReport(
        name=status.backend.name,
        group=status.group.name,
        model=status.group.model,
        state=health.state.value,
        reason=health.reason,
        explanation=" ".join(sentences),
        since_secs=round(now - health.since, 1),
        circuit=standing.value,
        why=why,
        retry_in_secs=None if why is None else round(max(0.0, retry_at - now), 1),
        latency_ms=None if health.latency is None else round(health.latency * 1000, 2),
        models=list(health.models),
        max_model_len=health.max_model_len,
        in_flight=status.in_flight,
        running=None if health.running is None else int(health.running),
        waiting=None if health.waiting is None else int(health.waiting),
    )
