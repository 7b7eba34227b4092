"""Which attempts does a trace show? All of them, each under an id that its backend is told."""

from gateway.backends.board import Board
from gateway.backends.breaker import Breaker
from gateway.core.asgi import Headers
from gateway.core.clock import Clock
from gateway.core.context import RequestContext
from gateway.core.errors import GatewayError
from gateway.core.fleet import Backend
from gateway.core.structs import stored_plainly
from gateway.core.trace import UpstreamSpan
from gateway.observability.metrics import Metrics
from gateway.proxy.attempts import Attempt, Attempts
from gateway.proxy.dispatcher import Addresses
from gateway.routing.policies import Policy
from gateway.tracing.tracer import Tracer
from gateway.upstream.errors import UpstreamError

Others = tuple[Board, Breaker, Policy, Metrics, Clock]


@stored_plainly
class TracedAttempt(Attempt, eq=False):
    """An attempt of a request that is recorded.

    Attributes:
        span: what is noted of it.
    """

    span: UpstreamSpan = None  # type: ignore[assignment]  # set where it is made: a field without a default may not follow


class TracedAttempts(Attempts):
    """Attempts that are noted for spans, too; stands in where traces are on.

    Args:
        tracer: knows which are recorded.
        addresses: where backends listen.
        others: what `Attempts` takes.
    """

    def __init__(self, tracer: Tracer, addresses: Addresses, *others: *Others) -> None:
        super().__init__(*others)
        self._tracer = tracer
        self._addresses = addresses

    def begin(self, backend: Backend, ctx: RequestContext) -> Attempt:
        """See `Attempts`."""
        attempt = super().begin(backend, ctx)
        address = self._addresses.get(backend.url) or self._addresses.read(backend.url)
        span = self._tracer.attempt(ctx, backend, address.host, address.port)
        if span is None:
            return attempt
        return TracedAttempt(attempt.backend, attempt.index, counted=attempt.counted, span=span)

    def trace_fields(self, ctx: RequestContext) -> Headers:
        """See `Attempts`."""
        assert ctx.trace is not None  # noqa: S101 -- `begin` comes first
        return ctx.trace.fields

    def fail(self, attempt: Attempt, ctx: RequestContext, failure: BaseException) -> None:
        """See `Attempts`."""
        super().fail(attempt, ctx, failure)
        if isinstance(attempt, TracedAttempt):
            attempt.span.error = _word_for(ctx, failure)

    def close(self, attempt: Attempt) -> None:
        """See `Attempts`."""
        super().close(attempt)
        if isinstance(attempt, TracedAttempt):
            attempt.span.status = attempt.reply.status
            attempt.span.ended = self._clock.monotonic()


def _word_for(ctx: RequestContext, failure: BaseException) -> str:
    """Why it failed, by a word from a bounded set."""
    if isinstance(failure, UpstreamError):
        return failure.reason
    if isinstance(failure, GatewayError):
        return failure.outcome
    return ctx.lifeline.reason or "internal_error"
