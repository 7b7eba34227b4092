"""What is known of this request? One object that goes with it from the door to the log line."""

from enum import StrEnum

from msgspec import Struct, field

from gateway.core.asgi import ClientConnection, Fields, Headers
from gateway.core.endpoint import Dialect, Endpoint
from gateway.core.lifeline import Lifeline
from gateway.core.plan import RequestPlan
from gateway.core.principal import MASTER, Principal
from gateway.core.refusal import Refusal
from gateway.core.structs import stored_plainly
from gateway.core.trace import RequestTrace
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
    """Everything the rooms learn about one request, in the order in which they do.

    Times are seconds on the monotonic clock. `outcome` is one word for logs and metrics: `ok`, an error's, the reason
    of a cut, or `incomplete` where nothing explains why the answer has no end. Each field says which modules set it
    once the context is made, and which rooms read it.
    """

    # Known as the request arrives; `middleware/request_scope` makes it of these.
    request_id: str
    """Read by api, audit, limits, middleware, observability, proxy, tracing."""
    endpoint: Endpoint
    """The row of the allow-list that its path is of. Read by api, audit, limits, middleware, observability, proxy,
    tracing.
    """
    lifeline: Lifeline
    """By which it is ended from outside. Read by limits, middleware, proxy."""
    connection: ClientConnection | None
    """A leader of `cache/` that runs on for others has none from then on. Set by middleware/cache, middleware/overhear;
    read by middleware, proxy.
    """
    started: float
    """Read by audit, limits, middleware, observability, proxy, tracing."""
    method: str
    """Read by api, middleware, observability, tracing."""
    path: str
    """Read by cache, observability."""
    fields: Fields = {}
    """The request's header fields by name. Read by api, middleware, proxy, tracing."""
    peer: str = ""
    """The address of the socket's other end. Read by middleware."""
    client_request_id: str | None = None
    """The client's own, where it sent a valid one. Read by observability."""
    trace_id: str | None = None
    """Of the trace that the client's `traceparent` names, or that the gateway began; 32 hex digits. Set by
    tracing/tracer; read by middleware, observability, proxy, tracing.
    """
    trace: RequestTrace | None = None
    """What is noted of it for that trace; None while tracing is off. Set by tracing/tracer; read by proxy, tracing."""
    answer_headers: Headers = field(default_factory=list)
    """Fields that every answer to this request carries, errors included (`x-request-id`, rate headers); rooms add
    theirs. Read by limits, middleware, proxy.
    """

    # Who asks.
    client_ip: str = ""
    """As nginx saw it. Set by middleware/authenticate; read by observability."""
    organization: str = ""
    """Whom the request counts for: the principal's, else the client's address. Set by middleware/authenticate; read by
    api, audit, cache, limits, middleware, observability, proxy, tracing.
    """
    principal: Principal = MASTER
    """Set by middleware/authenticate; read by api, audit, limits, middleware, observability, proxy, tracing."""

    # What it asks for.
    body: bytes = b""
    """As it came; then, as it is sent to a backend. Set by middleware/read_body, proxy/planner; read by proxy."""
    bytes_in: int = 0
    """Set by api/control, middleware/read_body; read by api, observability."""
    streamed: bool = False
    """Set by proxy/planner; read by limits, middleware, observability, proxy, tracing."""
    shareable: bool = False
    """The same bytes of one organization may get the same answer, unless it is a stream: see `middleware.cache`.
    Set by proxy/planner; read by middleware.
    """
    plan: RequestPlan = None  # type: ignore[assignment]  # set before any room asks: an Optional would cost each a test
    """What the body asks for, and of whom; nobody behind `proxy.planner` runs without it. Set by proxy/fallback,
    proxy/planner; read by cache, limits, proxy, tracing.
    """
    group: str = ""
    """The group of the model that was asked for: a bounded set, unlike what clients write. Set by proxy/planner; read
    by cache, limits, observability, proxy, tracing.
    """

    # How far it has come.
    phase: Phase = Phase.ARRIVED
    """Set by api/control, middleware/admission, middleware/cache, middleware/read_body, middleware/request_scope,
    proxy/client_side, proxy/dispatcher, proxy/seats, upstream/http11; read by limits, middleware.
    """
    queue_wait: float | None = None
    """Seconds for a slot, and for a seat; None: it has had no slot. Set by middleware/admission, proxy/seats; read by
    limits, middleware, observability, proxy, tracing.
    """
    sent_at: float | None = None
    """When a backend's connection was first there for it. Set by upstream/http11; read by observability, upstream."""
    attempts: int = 0
    """Attempts at backends. Set by proxy/dispatcher; read by limits, observability, tracing."""
    backend: str | None = None
    """The last that was asked. Set by proxy/dispatcher; read by limits, observability, proxy."""

    # What is answered.
    status: int = 0
    """Set by middleware/cache, middleware/request_scope, proxy/client_side; read by limits, observability, tracing."""
    outcome: str = ""
    """Set by middleware/cache, middleware/error_boundary, middleware/request_scope, proxy/forwarder; read by limits,
    middleware, observability, tracing.
    """
    cache: str | None = None
    """Answered without a backend's work of its own: `hit`, from what is kept, or `coalesced`, by another request's run.
    Set by middleware/cache; read by limits, observability, tracing.
    """
    refusal: Refusal | None = None
    """What it was refused for, by a limit or for the state of the fleet; None: it was not. Set by
    middleware/error_boundary; read by audit, observability.
    """
    answer_started: bool = False
    """Set by middleware/cache, middleware/request_scope, proxy/client_side; read by limits, middleware."""
    event_stream: bool = False
    """The answer that has begun is a stream of events: a failure can still be said in it. Set by proxy/client_side;
    read by audit, middleware, observability, proxy.
    """
    first_token_at: float | None = None
    """Set by proxy/client_side; read by observability, tracing."""
    token_events: int = 0
    """How many events of a stream have carried tokens, as far as it came. Set by proxy/stream; read by limits."""
    finish_reason: str | None = None
    """Why the model says that a stream's choice ended, the last one's; `length` at a bound on its tokens. Set by
    proxy/stream; read by observability.
    """
    usage: Usage | None = None
    """As the backend states it. Set by proxy/judging, proxy/pieces, proxy/stream; read by limits, observability,
    tracing.
    """
    failure_told: bool = False
    """The backend's own error event was passed on; a second one would only repeat it. Set by proxy/stream; read by
    middleware.
    """
    bytes_out: int = 0
    """Set by middleware/cache, middleware/request_scope, proxy/client_side, proxy/stream; read by observability."""
    answer_complete: bool = False
    """The answer's last byte was handed to the server: whatever goes wrong from here on, it can no longer be said.
    Set by middleware/cache, middleware/request_scope, proxy/client_side; read by limits, middleware.
    """
    disconnect_phase: Phase | None = None
    """Where the client left; None: it stayed. Set by middleware/cache, middleware/request_scope; read by middleware,
    observability, tracing.
    """

    @property
    def dialect(self) -> Dialect:
        """How this path spells its answers and errors."""
        return self.endpoint.dialect
