"""What stands behind the gateway? A model server, and the group of servers that serve one model."""

from dataclasses import dataclass

from gateway.core.endpoint import ModelKind


@dataclass(frozen=True, slots=True)
class Backend:
    """One vLLM server.

    Attributes:
        name: short and stable, for logs, metrics and `/health/detailed`: `chat0`, `embed`.
        url: base URL without a trailing slash, as configured.
        weight: its share of its group's requests against the other replicas' shares, where the policy weighs; above 0.
    """

    name: str
    url: str
    weight: int = 1


@dataclass(frozen=True, slots=True)
class BackendGroup:
    """The servers that serve one model.

    Attributes:
        name: the group's word in logs and metrics, and the key of its turn counter: `chat`, `text2sql`, `embed`.
        kind: what the model can do.
        model: the model's name at the backends, to which every alias is rewritten.
        aliases: further names that clients may use.
        backends: the replicas, in configured order; never empty.
        fallback: the group that answers in its stead while it is down or overloaded; empty for none.
    """

    name: str
    kind: ModelKind
    model: str
    aliases: tuple[str, ...]
    backends: tuple[Backend, ...]
    fallback: str = ""

    @property
    def model_names(self) -> tuple[str, ...]:
        """Every name a client may ask for, the backend's own first, each once."""
        return tuple(dict.fromkeys((self.model, *self.aliases)))
