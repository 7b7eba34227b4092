"""Which path is it? The row that describes one path of the gateway's allow-list."""

from collections.abc import Container
from dataclasses import dataclass, field
from enum import StrEnum


class Dialect(StrEnum):
    """How a path's answers, errors and stream endings are spelled."""

    OPENAI = "openai"
    """`{"error": {...}}`; a stream ends with `data: [DONE]`."""
    RESPONSES = "responses"
    """OpenAI's envelope; a stream ends with `response.completed|incomplete|failed` and has no `[DONE]`."""
    ANTHROPIC = "anthropic"
    """`{"type": "error", "error": {...}}`; a stream ends with `message_stop`."""


class Access(StrEnum):
    """Who may ask."""

    OPEN = "open"
    """No key, no bucket: probes and the documentation."""
    KEY = "key"
    """A valid key and a token of the caller's bucket."""
    ADMIN = "admin"
    """A token of the address's bucket here; the control process judges the administrator's key."""


class _Everything:
    """A container of everything there is."""

    def __contains__(self, _: object) -> bool:
        return True


NEVER_SHARED: Container[object] = frozenset()
SHARED_IF_EXACT: Container[object] = frozenset({0})
"""0 is in it however it is spelled as a number."""
ALWAYS_SHARED: Container[object] = _Everything()
"""For what computes and draws no lots."""


class ModelKind(StrEnum):
    """What a model can do; a path serves one or more kinds."""

    CHAT = "chat"
    TEXT2SQL = "text2sql"
    EMBEDDING = "embedding"
    RERANK = "rerank"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One path of the allow-list.

    Attributes:
        path: the exact path clients use; anything else is a 404 that reaches no backend.
        methods: the allowed HTTP methods.
        access: whether a key is needed.
        upstream_path: the backend's path for relayed endpoints, None for our own.
        dialect: how answers and errors are spelled.
        kinds: the model kinds that serve this path; the first one's group is the default for a missing model.
        pinned: the request's `model` must belong to the first kind's group (`/v1/text2sql`).
        streams: whether `"stream": true` means anything here.
        uses_engine: whether the model itself works for an answer; tokens are counted too where the engine is dead or
            hangs, so that such an answer says nothing of it.
        shared_at: the temperatures at which the same request may get the same answer; None stands for one that is
            not stated. A container, which chat that is never shared asks in one instruction.
        control: whether the control process answers.
        relayed: whether a backend answers; asked three times in a request, and so no property.
    """

    path: str
    methods: frozenset[str]
    access: Access = Access.KEY
    upstream_path: bytes | None = None
    dialect: Dialect = Dialect.OPENAI
    kinds: tuple[ModelKind, ...] = ()
    pinned: bool = False
    streams: bool = False
    uses_engine: bool = True
    shared_at: Container[object] = NEVER_SHARED
    control: bool = False
    relayed: bool = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "relayed", self.upstream_path is not None)

    def allow(self) -> tuple[bytes, bytes]:
        """The `allow` field that a 405 must carry (RFC 9110, 15.5.6)."""
        return b"allow", ", ".join(sorted(self.methods)).encode("ascii")
