"""Which backend takes it? The first replica that accepts; others are asked only while nothing can have run."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from gateway.core.asgi import Headers
from gateway.core.context import Phase, RequestContext
from gateway.core.fleet import Backend
from gateway.core.plan import RequestPlan
from gateway.proxy.attempts import Attempt, Attempts
from gateway.proxy.buffered import BufferedReply, read_bounded
from gateway.proxy.search import REFUSED, UNREACHABLE, Search, Searcher
from gateway.proxy.signals import Signal, of_status
from gateway.proxy.standing import Availability, Choice
from gateway.proxy.unavailable import BusyError, DownError, NoBackendError, UnreachableError
from gateway.proxy.verdict import refused
from gateway.routing.policies import Policy
from gateway.upstream.address import Address
from gateway.upstream.errors import NeverSent
from gateway.upstream.protocol import Reply, UpstreamClient, UpstreamRequest

OK = 200
ENGINE_ERROR = 500
MAY_BE_REFUSAL = frozenset({429, ENGINE_ERROR, 503})
"""Statuses whose body is read before it is decided whether another replica may be asked."""
UNREACHABLE_RETRY_SECS = 2.0
STALE = "stale"
"""The reason of a `NeverSent` that speaks of an old connection, not of its backend."""

# Read once: see core/context.py.
_CONNECTING = Phase.CONNECTING


class Wire(NamedTuple):
    """How backends are reached.

    Attributes:
        client: sends requests.
        addresses: where each backend listens, by its name.
        key: shown to every backend; the client's own key goes nowhere.
    """

    client: UpstreamClient
    addresses: Mapping[str, Address]
    key: str


class Dispatcher:
    """Finds a backend for a planned request.

    Args:
        wire: how backends are reached.
        policy: orders the backends that may be asked, its first choice first.
        availability: knows who may be asked.
        attempts: counts and judges each exchange.
        searcher: finds the next one after the first.

    Attributes:
        attempts: as given.
    """

    def __init__(
        self, wire: Wire, policy: Policy, availability: Availability, attempts: Attempts, searcher: Searcher
    ) -> None:
        self.attempts = attempts
        self._client = wire.client
        self._addresses = wire.addresses
        self._headers: Headers = [
            (b"content-type", b"application/json"),
            (b"authorization", b"Bearer " + wire.key.encode()),
        ]
        self._policy = policy
        self._choose = availability.of
        self._searcher = searcher
        self._budget = searcher.budget
        self._limited = searcher.limited

    async def open(self, ctx: RequestContext, plan: RequestPlan) -> Attempt:
        """The attempt at the first backend that takes the request, its answer's head read; the caller closes it.

        Only what provably did not run is tried elsewhere: a request that never left (at once), and one that a backend
        states it will not run (within the budget). Everything else may have cost GPU time and is not repeated.

        Raises:
            NoBackendError: none is available, none could be reached, all of them refused, or all are full.
            MayHaveRun: a backend took the request and broke off.
        """
        self._budget.note_request()
        request = self._request(ctx, plan)
        group = plan.route.group
        choice = self._choose(group)
        backends: Sequence[Backend] = choice.backends
        if len(backends) > 1:
            backends = await self._policy.order(group.name, backends)
            if self.attempts.aside:
                backends = self.attempts.ordered(backends)
        if self._limited or choice.trial is not None or not backends:
            return await self._search(ctx, request, Search(group, list(backends), choice.trial), choice)
        # As nearly always. What `_exchange` does stands here again, as a coroutine more would cost 900 instructions.
        backend = backends[0]
        attempt = self.attempts.begin(backend)
        ctx.backend, ctx.phase = backend.name, _CONNECTING
        ctx.attempts += 1
        try:
            reply = attempt.reply = await self._client.send(self._addresses[backend.name], request)
        except BaseException as failure:  # noqa: BLE001 -- raised again there, unless another may be asked
            moved = await self._after(ctx, attempt, request, failure)
        else:
            if reply.status == OK:
                return attempt
            moved = await self._judge(ctx, attempt, reply)
        if not moved:
            return attempt
        search = Search(group, list(backends[1:]))
        search.move(moved)
        return await self._search(ctx, request, search, choice)

    async def _search(self, ctx: RequestContext, request: UpstreamRequest, search: Search, choice: Choice) -> Attempt:
        """Ask whoever is left, one after the other."""
        while (attempt := await self._searcher.next(ctx, search)) is not None:
            moved = await self._exchange(ctx, attempt, request)
            if not moved:
                return attempt
            search.move(moved)
        raise self._nobody(search, choice)

    async def _exchange(self, ctx: RequestContext, attempt: Attempt, request: UpstreamRequest) -> str:
        """Ask one backend; why it did not take the request, or nothing. The attempt is closed if it did not."""
        ctx.backend, ctx.phase = attempt.backend.name, _CONNECTING
        ctx.attempts += 1
        try:
            reply = attempt.reply = await self._client.send(self._addresses[attempt.backend.name], request)
        except BaseException as failure:  # noqa: BLE001 -- as above
            return await self._after(ctx, attempt, request, failure)
        return "" if reply.status == OK else await self._judge(ctx, attempt, reply)

    async def _after(
        self, ctx: RequestContext, attempt: Attempt, request: UpstreamRequest, failure: BaseException
    ) -> str:
        """What `_exchange` says after an exchange without an answer; raises the failure unless nothing was sent.

        A kept-alive connection that had died unnoticed is replaced, which blames no backend.
        """
        reply = None
        if isinstance(failure, NeverSent) and failure.reason == STALE:
            try:
                reply = attempt.reply = await self._client.send(self._addresses[attempt.backend.name], request)
            except BaseException as another:  # noqa: BLE001 -- it takes the first one's place
                failure = another
        if reply is not None:
            return "" if reply.status == OK else await self._judge(ctx, attempt, reply)
        self.attempts.fail(attempt, ctx, failure)
        self.attempts.close(attempt)
        if isinstance(failure, NeverSent):
            return UNREACHABLE
        raise failure

    async def _judge(self, ctx: RequestContext, attempt: Attempt, reply: Reply) -> str:
        """What `_exchange` says of an answer that is no 200: one that states that it will not run is no answer."""
        status = reply.status
        attempt.signal = of_status(status)
        if status not in MAY_BE_REFUSAL:
            return ""
        try:
            body = await read_bounded(reply)
        except BaseException as failure:
            self.attempts.fail(attempt, ctx, failure)
            self.attempts.close(attempt)
            raise
        reply.close()
        attempt.reply = BufferedReply(status, reply.headers, body)
        if not refused(status, body):
            return ""
        if status == ENGINE_ERROR:
            attempt.signal = Signal.DRAINING
        self.attempts.close(attempt)
        return REFUSED

    def _nobody(self, search: Search, choice: Choice) -> NoBackendError:
        """Why no backend took it, as the client is told."""
        if REFUSED in search.reasons:
            return BusyError()
        if not search.reasons:
            return DownError(choice.why, choice.retry_after)
        now = self._choose(search.group)
        return UnreachableError(UNREACHABLE_RETRY_SECS if now.backends else now.retry_after)

    def _request(self, ctx: RequestContext, plan: RequestPlan) -> UpstreamRequest:
        path = ctx.endpoint.upstream_path
        assert path is not None  # noqa: S101 -- only relayed endpoints are planned
        return UpstreamRequest(b"POST", path, self._headers, plan.body, ctx, ctx.request_id.encode())
