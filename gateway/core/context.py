"""What is known of this request? One object that goes with it from the door to the log line."""

from enum import StrEnum

from msgspec import Struct, field

from gateway.core.asgi import ClientConnection, Fields, Headers
from gateway.core.endpoint import Dialect, Endpoint
from gateway.core.lifeline import Lifeline
from gateway.core.plan import RequestPlan
from gateway.core.principal import MASTER, Principal
from gateway.core.structs import stored_plainly
from gateway.core.usage import Usage

CONTEXT_KEY = "gateway.context"
"""The key of the ASGI scope under which the request's `RequestContext` travels."""


class Phase(StrEnum):
    """How far a request has come; a disconnect is logged with the phase that it hit.

    On CPython 3.11 a look at an enum's member is a call of Python's own and costs 0.2 us. Modules on a request's way
    look once, as they are imported, and keep the member under a name of theirs: `_DONE = Phase.DONE`. So it is with
    every enum that a request meets, all over the gateway.
    """

    ARRIVED = "arrived"
    BODY = "body"
    QUEUED = "queued"
    CONNECTING = "connecting"
    WAITING = "waiting"
    """The backend has the request, nothing has come back."""
    ANSWERING = "answering"
    DONE = "done"


@stored_plainly
class RequestContext(Struct, eq=False):  # made per request: a dataclass takes six times as long
    """Everything the rooms learn about one request.

    Times are seconds on the monotonic clock. `outcome` is one word for logs and metrics: `ok`, an error's, the reason
    of a cut, or `incomplete` where nothing explains why the answer has no end.
    """

    request_id: str
    endpoint: Endpoint
    lifeline: Lifeline
    connection: ClientConnection | None
    started: float
    method: str
    path: str
    fields: Fields = {}
    """The request's header fields by name."""
    peer: str = ""
    client_ip: str = ""
    client_request_id: str | None = None
    organization: str = ""
    """Whom the request counts for: the principal's, else the client's address."""
    principal: Principal = MASTER
    phase: Phase = Phase.ARRIVED
    body: bytes = b""
    streamed: bool = False
    shareable: bool = False
    """The same bytes of one organization may get the same answer, unless it is a stream: see `middleware.cache`."""
    plan: RequestPlan = None  # type: ignore[assignment]  # set before any room asks: an Optional would cost each a test
    """What the body asks for, and of whom; nobody behind `proxy.planner` runs without it."""
    group: str = ""
    """The group of the model that was asked for: a bounded set, unlike what clients write."""
    backend: str | None = None
    attempts: int = 0
    status: int = 0
    outcome: str = ""
    queue_wait: float | None = None
    first_token_at: float | None = None
    usage: Usage | None = None
    token_events: int = 0
    """How many events of a stream have carried tokens, as far as it came."""
    cached: bool = False
    """Answered without a backend's work of its own: from what is kept, or by another request's run."""
    bytes_in: int = 0
    bytes_out: int = 0
    answer_started: bool = False
    answer_complete: bool = False
    """The answer's last byte was handed to the server: whatever goes wrong from here on, it can no longer be said."""
    event_stream: bool = False
    """The answer that has begun is a stream of events: a failure can still be said in it."""
    failure_told: bool = False
    """The backend's own error event was passed on; a second one would only repeat it."""
    disconnect_phase: Phase | None = None
    answer_headers: Headers = field(default_factory=list)
    """Fields that every answer to this request carries, errors included (`x-request-id`, rate headers)."""

    @property
    def dialect(self) -> Dialect:
        """How this path spells its answers and errors."""
        return self.endpoint.dialect
