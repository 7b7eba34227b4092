"""What stands behind the gateway? A model server, and the group of servers that serve one model."""

from dataclasses import dataclass

from gateway.core.endpoint import ModelKind


@dataclass(frozen=True, slots=True)
class Backend:
    """One vLLM server.

    Attributes:
        name: short and stable, for logs, metrics and `/health/detailed`: `chat0`, `embed`.
        url: base URL without a trailing slash, as configured.
    """

    name: str
    url: str


@dataclass(frozen=True, slots=True)
class BackendGroup:
    """The servers that serve one model.

    Attributes:
        name: the group's word in logs and metrics, and the key of its turn counter: `chat`, `text2sql`, `embed`.
        kind: what the model can do.
        model: the model's name at the backends, to which every alias is rewritten.
        aliases: further names that clients may use.
        backends: the replicas, in configured order; never empty.
    """

    name: str
    kind: ModelKind
    model: str
    aliases: tuple[str, ...]
    backends: tuple[Backend, ...]

    @property
    def model_names(self) -> tuple[str, ...]:
        """Every name a client may ask for, the backend's own first, each once."""
        return tuple(dict.fromkeys((self.model, *self.aliases)))
