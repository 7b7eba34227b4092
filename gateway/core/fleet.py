"""What stands behind the gateway? A model server, and the group of servers that serve one model."""

from dataclasses import dataclass, field
from typing import Protocol

from gateway.core.endpoint import Endpoint, ModelKind
from gateway.core.model_card import ModelCard


@dataclass(frozen=True, slots=True)
class Backend:
    """One vLLM server.

    Attributes:
        name: short and stable, for logs, metrics and `/health/detailed`: `chat0`, `embed`.
        url: base URL without a trailing slash, as configured.
        weight: its share of its group's requests against the other replicas' shares, where the policy weighs; above 0.
        column: its place on the board, which whoever published it has given it; None: the settings' own stand in
            their order, from 0.
        drained: it gets nothing new, by an operator's word.
    """

    name: str
    url: str
    weight: int = 1
    column: int | None = None
    drained: bool = False


class Shape(Protocol):
    """What a model does to requests: a `transforms.shape.Shaper`."""

    def members(self, endpoint: Endpoint, body: bytes, priority: int) -> bytes:
        """What is to be spliced into the body of a request to `endpoint` by a key of that priority; empty: nothing."""
        ...

    def headers(self, endpoint: Endpoint, priority: int) -> tuple[tuple[bytes, bytes], ...]:
        """What is to be said beside the body, in header fields; empty: nothing."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class BackendGroup:
    """The servers that serve one model; a key by its identity, so that no two fleets' are mistaken for each other.

    Attributes:
        name: the group's word in logs and metrics, and the key of its turn counter: `chat`, `text2sql`, `embed`.
        kind: what the model can do.
        model: the model's name at the backends, to which every alias is rewritten.
        aliases: further names that clients may use.
        backends: the replicas, in configured order; never empty.
        fallback: the group that answers in its stead while it is down or overloaded; empty for none.
        card: what was said of it beyond that; None: nothing.
        shape: what it does to requests; None: nothing.
        tool_parser: vLLM's name of what reads its tool calls; empty: it calls none.
        policy: how its replicas take turns; empty: as BALANCING_POLICY says.
        names: every name a client may ask for; empty: the backend's own, and the aliases.
        in_use: the replicas that are not drained.
    """

    name: str
    kind: ModelKind
    model: str
    aliases: tuple[str, ...]
    backends: tuple[Backend, ...]
    fallback: str = ""
    card: ModelCard | None = None
    shape: Shape | None = field(default=None, repr=False)
    tool_parser: str = ""
    policy: str = ""
    names: tuple[str, ...] = ()
    in_use: tuple[Backend, ...] = field(init=False)

    def __post_init__(self) -> None:
        drains = any(one.drained for one in self.backends)
        in_use = tuple(one for one in self.backends if not one.drained) if drains else self.backends
        object.__setattr__(self, "in_use", in_use)

    @property
    def model_names(self) -> tuple[str, ...]:
        """Every name a client may ask for, the backend's own first, each once."""
        return self.names or tuple(dict.fromkeys((self.model, *self.aliases)))
