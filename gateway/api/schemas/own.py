"""What do the gateway's own paths give?

Dataclasses, which a worker writes as JSON by itself and FastAPI describes likewise: models of pydantic would be 15 MiB
and a third of each worker's start, for answers that nobody has to check.
"""

from dataclasses import dataclass, field
from typing import Literal


def told(description: str) -> dict[str, str]:
    """A field's metadata: what the document says of it."""
    return {"description": description}


@dataclass(kw_only=True)
class Model:
    """One name that requests may ask for."""

    id: str
    object: Literal["model"] = "model"
    created: int = field(metadata=told("When this gateway started, in seconds since 1970 UTC."))
    owned_by: str = field(metadata=told("The organization in `root`, `vllm` where it has none."))
    root: str = field(metadata=told("The model behind the name: `owner/model`, or what its backends call it."))
    max_model_len: int | None = field(default=None, metadata=told("Context in tokens; absent until a backend told it."))


@dataclass(kw_only=True)
class ModelList:
    """Every model and alias."""

    object: Literal["list"] = "list"
    data: list[Model]


@dataclass(kw_only=True)
class Alive:
    """The process lives."""

    status: Literal["ok"] = "ok"


@dataclass(kw_only=True)
class Ready:
    """Requests can be answered."""

    status: Literal["ready"] = "ready"
    reason: Literal["ok", "fallback", "not_watched"] = field(
        default="ok",
        metadata=told(
            "fallback: no chat backend of its own answers; the group that stands in for it does. not_watched: the "
            "prober is silent, so that this is what was last known."
        ),
    )


@dataclass(kw_only=True)
class BackendReport:
    """One backend's state, as the host's probes found it."""

    name: str = field(
        metadata=told("As in logs and metrics: `chat0` is the first URL of CHAT_BACKENDS. Never an address.")
    )
    group: str
    model: str = field(metadata=told("The name that the backend must serve."))
    state: Literal["loading", "healthy", "busy", "draining", "down"] = field(
        metadata=told("healthy and busy: it has its share of the requests.")
    )
    reason: str = field(metadata=told("What the last probe found, as a word."))
    explanation: str = field(metadata=told("The same as a sentence, and one on its circuit where that is not closed."))
    since_secs: float = field(metadata=told("Seconds since it entered this state."))
    circuit: Literal["closed", "open", "half_open"] = field(
        metadata=told("closed: all requests may go there; open: they go elsewhere; half_open: a single one tries it.")
    )
    why: str | None = field(metadata=told("What brought its circuit there, as a word; null: it is closed."))
    retry_in_secs: float | None = field(
        metadata=told("Seconds until a request tries it again; 0: the next one may; null: its circuit is closed.")
    )
    latency_ms: float | None = field(metadata=told("How long the last probe's GET /health took; null: no answer."))
    models: list[str] = field(metadata=told("The names it serves, as last learned."))
    max_model_len: int | None
    in_flight: int = field(
        metadata=told("Requests of this gateway that are there now, without those that only count tokens.")
    )
    running: int | None = field(metadata=told("Requests its engine works on, by its own word; null: it does not say."))
    waiting: int | None = field(metadata=told("Requests that wait inside it, likewise."))


@dataclass(kw_only=True)
class HealthReport:
    """The whole fleet."""

    status: Literal["ok", "degraded", "unavailable"] = field(
        metadata=told(
            "ok: all backends are healthy or busy, and their circuits closed; unavailable: not ready, as /ready says; "
            "degraded: in between."
        )
    )
    reason: str = field(
        metadata=told(
            "ok; unavailable: why it is not ready, as /ready says it; degraded: what the worst backend has, "
            "`circuit_open` or `circuit_half_open`, or `limits_not_shared` or `limits_split` where that is all."
        )
    )
    backends: list[BackendReport]
    limits_shared: bool | None = field(
        default=None,
        metadata=told(
            "Whether the server of REDIS_URL decides about limits, for all hosts; false: it is away, and this host "
            "keeps to its share of each limit, and to quotas as it saw them last; null: REDIS_URL is not set."
        ),
    )
    limits_split_with: list[str] = field(
        default_factory=list,
        metadata=told(
            "Other gateway hosts on the same database, each of which grants whole limits, as REDIS_URL is not set."
        ),
    )
