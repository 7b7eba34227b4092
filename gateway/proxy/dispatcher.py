"""Which backend takes it? The first replica that accepts; others are asked only while nothing can have run."""

from collections.abc import Mapping

from gateway.core.asgi import Headers
from gateway.core.context import Phase, RequestContext
from gateway.core.errors import UnavailableError
from gateway.core.plan import RequestPlan
from gateway.observability import metrics as m
from gateway.observability.metrics import Metrics
from gateway.proxy.buffered import BufferedReply, read_bounded
from gateway.proxy.retry import RetryBudget
from gateway.proxy.verdict import busy, refused
from gateway.routing.policies import Policy
from gateway.upstream.address import Address
from gateway.upstream.errors import NeverSent
from gateway.upstream.protocol import Reply, UpstreamClient, UpstreamRequest

MAY_BE_REFUSAL = frozenset({429, 500, 503})
"""Statuses whose body is read before it is decided whether another replica may be asked."""
UNREACHABLE_RETRY_SECS = 2.0
STALE = "stale"
"""The reason of a `NeverSent` that speaks of an old connection, not of its backend."""

# Read once: see core/context.py.
_CONNECTING = Phase.CONNECTING


class Dispatcher:
    """Finds a backend for a planned request.

    Args:
        client: the wire.
        policy: orders a group's backends, its first choice first.
        addresses: where each backend listens, by its name.
        backend_key: shown to every backend; the client's own key goes nowhere.
        budget: bounds retries of stated refusals.
        metrics: counts moves to another replica.
    """

    def __init__(
        self,
        client: UpstreamClient,
        policy: Policy,
        addresses: Mapping[str, Address],
        *,
        backend_key: str,
        budget: RetryBudget,
        metrics: Metrics,
    ) -> None:
        self._client = client
        self._policy = policy
        self._addresses = addresses
        self._headers: Headers = [
            (b"content-type", b"application/json"),
            (b"authorization", b"Bearer " + backend_key.encode()),
        ]
        self._budget = budget
        self._metrics = metrics

    async def open(self, ctx: RequestContext, plan: RequestPlan) -> Reply:
        """The reply of the first backend that takes the request, its head read.

        Only what provably did not run is tried elsewhere: a request that never left (at once), and one that a backend
        states it will not run (within the budget). Everything else may have cost GPU time and is not repeated.

        Raises:
            UnavailableError: no backend could be reached, or all of them refused.
            MayHaveRun: a backend took the request and broke off.
        """
        self._budget.note_request()
        request = self._request(ctx, plan)
        some_refused = last_refused = False
        backends = plan.route.group.backends
        for backend in backends if len(backends) == 1 else await self._policy.order(plan.route.group):
            if last_refused and not self._budget.spend():
                break
            ctx.backend, ctx.phase = backend.name, _CONNECTING
            ctx.attempts += 1
            if ctx.attempts > 1:
                self._metrics.count(m.RETRIES, ctx.group, "refused" if last_refused else "unreachable")
            last_refused = False
            try:
                reply = await self._client.send(self._addresses[backend.name], request)
            except NeverSent as failure:
                again = await self._send_again(self._addresses[backend.name], request, failure)
                if again is None:
                    continue
                reply = again
            if reply.status not in MAY_BE_REFUSAL:
                return reply
            held = await self._unless_refused(reply)
            if held is not None:
                return held
            some_refused = last_refused = True
        if some_refused:
            raise busy()
        raise UnavailableError("No model server could be reached.", retry_after=UNREACHABLE_RETRY_SECS)

    async def _send_again(self, address: Address, request: UpstreamRequest, failure: NeverSent) -> Reply | None:
        """A kept-alive connection that had died unnoticed is replaced, which blames no backend; None: it is down."""
        if failure.reason != STALE:
            return None
        try:
            return await self._client.send(address, request)
        except NeverSent:
            return None

    def _request(self, ctx: RequestContext, plan: RequestPlan) -> UpstreamRequest:
        path = ctx.endpoint.upstream_path
        assert path is not None  # noqa: S101 -- only relayed endpoints are planned
        return UpstreamRequest(b"POST", path, self._headers, plan.body, ctx, ctx.request_id.encode())

    async def _unless_refused(self, reply: Reply) -> Reply | None:
        """None when the backend states that it will not run the request, else the reply with its body held."""
        try:
            body = await read_bounded(reply)
        finally:
            reply.close()
        return None if refused(reply.status, body) else BufferedReply(reply.status, reply.headers, body)
