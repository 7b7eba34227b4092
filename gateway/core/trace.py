"""What is noted of a request for the spans that it leaves? Ids, and the moments that nothing else keeps."""

from msgspec import Struct

from gateway.core.asgi import Headers
from gateway.core.fleet import Backend, BackendGroup
from gateway.core.structs import stored_plainly


class UpstreamSpan(Struct, eq=False):
    """One attempt at a backend. Times are seconds on the monotonic clock.

    Attributes:
        span_id: 16 hex digits; the backend's own span stands under it.
        backend: whom.
        group: of the request as the attempt began; a fallback's backend is of another one.
        host, port: where the backend listens.
        began: when it was chosen.
        waited: seconds that the request had waited until then, for a slot or a seat, since its last attempt.
        ended: when it was over.
        status: of the answer; 0: there was none.
        error: why it failed, in one word; empty: it did not.
    """

    span_id: str
    backend: Backend
    group: BackendGroup
    host: str
    port: int
    began: float
    waited: float = 0.0
    ended: float = 0.0
    status: int = 0
    error: str = ""


@stored_plainly
class RequestTrace(Struct, eq=False):
    """One request's part in a trace.

    Attributes:
        trace_id: 32 hex digits.
        span_id: of the request's own span, under which its attempts stand; 16 hex digits.
        parent_id: of the client's span; empty where the trace begins here.
        sampled: whether spans are kept.
        state: the client's `tracestate`, which goes on as it came.
        fields: what the backend that is asked now is told.
        attempts: all that were made, in their order.
        queued_at: when it came to where slots are waited for, on the monotonic clock; None: it never did.
        waited: seconds of its `queue_wait` that stand in an attempt.
    """

    trace_id: str
    span_id: str
    parent_id: str
    sampled: bool
    state: bytes
    fields: Headers
    attempts: list[UpstreamSpan] = []
    queued_at: float | None = None
    waited: float = 0.0
