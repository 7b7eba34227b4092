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
    explanation: str = Field(description="The same as a sentence.")
    since_secs: float = Field(description="Seconds since it entered this state.")
    latency_ms: float | None = Field(description="How long the last probe's GET /health took; null: no answer.")
    models: list[str] = Field(description="The names it serves, as last learned.")
    max_model_len: int | None
    in_flight: int = Field(description="Requests of this gateway that are there now.")
    running: int | None = Field(description="Requests its engine works on, by its own word; null: it does not say.")
    waiting: int | None = Field(description="Requests that wait inside it, likewise.")


class HealthReport(BaseModel):
    """The whole fleet."""

    status: Literal["ok", "degraded", "unavailable"] = Field(
        description="ok: all backends are healthy or busy; unavailable: not ready; degraded: in between."
    )
    reason: str = Field(description="Why it is not ready, as /ready says it; `ok` when it is.")
    backends: list[BackendReport]
