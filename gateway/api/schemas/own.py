"""What do the gateway's own paths give?"""

from typing import Literal

from pydantic import BaseModel, Field


class Model(BaseModel):
    """One name that requests may ask for."""

    id: str
    object: Literal["model"] = "model"
    created: int = Field(description="When this gateway started, in seconds since 1970 UTC.")
    owned_by: str = Field(description="The organization in `root`, `vllm` where it has none.")
    root: str = Field(description="The model behind the name: `owner/model`, or what its backends call it.")
    max_model_len: int | None = Field(default=None, description="Context in tokens; absent until a backend told it.")


class ModelList(BaseModel):
    """Every model and alias."""

    object: Literal["list"] = "list"
    data: list[Model]


class Alive(BaseModel):
    """The process lives."""

    status: Literal["ok"] = "ok"


class Ready(BaseModel):
    """Requests can be answered."""

    status: Literal["ready"] = "ready"
    reason: Literal["ok", "fallback", "not_watched"] = Field(
        default="ok",
        description="fallback: no chat backend of its own answers; the group that stands in for it does. not_watched: "
        "the prober is silent, so that this is what was last known.",
    )


class BackendReport(BaseModel):
    """One backend's state, as the host's probes found it."""

    name: str = Field(
        description="As in logs and metrics: `chat0` is the first URL of CHAT_BACKENDS. Never an address."
    )
    group: str
    model: str = Field(description="The name that the backend must serve.")
    state: Literal["loading", "healthy", "busy", "draining", "down"] = Field(
        description="healthy and busy: it has its share of the requests."
    )
    reason: str = Field(description="What the last probe found, as a word.")
    explanation: str = Field(description="The same as a sentence, and one on its circuit where that is not closed.")
    since_secs: float = Field(description="Seconds since it entered this state.")
    circuit: Literal["closed", "open", "half_open"] = Field(
        description="closed: all requests may go there; open: they go elsewhere; half_open: a single one tries it."
    )
    why: str | None = Field(description="What brought its circuit there, as a word; null: it is closed.")
    retry_in_secs: float | None = Field(
        description="Seconds until a request tries it again; 0: the next one may; null: its circuit is closed."
    )
    latency_ms: float | None = Field(description="How long the last probe's GET /health took; null: no answer.")
    models: list[str] = Field(description="The names it serves, as last learned.")
    max_model_len: int | None
    in_flight: int = Field(
        description="Requests of this gateway that are there now, without those that only count tokens."
    )
    running: int | None = Field(description="Requests its engine works on, by its own word; null: it does not say.")
    waiting: int | None = Field(description="Requests that wait inside it, likewise.")


class HealthReport(BaseModel):
    """The whole fleet."""

    status: Literal["ok", "degraded", "unavailable"] = Field(
        description="ok: all backends are healthy or busy, and their circuits closed; unavailable: not ready, as "
        "/ready says; degraded: in between."
    )
    reason: str = Field(
        description="ok; unavailable: why it is not ready, as /ready says it; degraded: what the worst backend has, "
        "`circuit_open` or `circuit_half_open`, or `limits_not_shared` or `limits_split` where that is all."
    )
    backends: list[BackendReport]
    limits_shared: bool | None = Field(
        default=None,
        description="Whether the server of REDIS_URL decides about limits, for all hosts; false: it is away, and this "
        "host keeps to its share of each limit, and to quotas as it saw them last; null: REDIS_URL is not set.",
    )
    limits_split_with: list[str] = Field(
        default=[],
        description="Other gateway hosts on the same database, each of which grants whole limits, as REDIS_URL is not "
        "set.",
    )
