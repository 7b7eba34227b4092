"""Which backend takes it? The first replica that accepts; others are asked only while nothing can have run."""

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from typing import NamedTuple

from gateway.backends.availability import Availability, Choice
from gateway.core.asgi import Headers
from gateway.core.context import Phase, RequestContext
from gateway.core.fleet import Backend, BackendGroup
from gateway.core.plan import RequestPlan
from gateway.proxy.attempts import Attempt, Attempts
from gateway.proxy.buffered import BufferedReply, read_bounded
from gateway.proxy.error_answer import refused
from gateway.proxy.search import Moved, Search, Searcher
from gateway.proxy.signals import Signal, of_status
from gateway.proxy.unavailable import BusyError, DownError, NoBackendError, SuspectedError, UnreachableError
from gateway.routing.policies import Policy
from gateway.upstream.address import Address
from gateway.upstream.errors import NeverSent
from gateway.upstream.protocol import Reply, UpstreamClient, UpstreamRequest

OK = 200
ENGINE_ERROR = 500
MAY_BE_REFUSAL = frozenset({429, ENGINE_ERROR, 503})
"""Statuses whose body is read before it is decided whether another replica may be asked."""
UNREACHABLE_RETRY_SECS = 2.0

_CONNECTING = Phase.CONNECTING


class Addresses(dict[str, Address]):
    """Where URLs lead, each read once: a request may go to a backend that has left the fleet meanwhile."""

    def read(self, url: str) -> Address:
        """Where it leads, where `get` knows nothing yet; `addresses[url]` would cost more by a call of Python's own."""
        address = self[url] = Address.parse(url)
        return address

    def keep(self, urls: AbstractSet[str]) -> None:
        """Forget all others."""
        for url in self.keys() - urls:
            del self[url]


class Wire(NamedTuple):
    """How backends are reached.

    Attributes:
        client: sends requests.
        addresses: where each backend listens, by its URL.
        key: shown to every backend; the client's own key goes nowhere.
    """

    client: UpstreamClient
    addresses: Addresses
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
        self._budgets = searcher.budgets
        self._limited = searcher.limited

    def follow(self, policy: Policy) -> None:
        """This one orders backends from now on."""
        self._policy = self.attempts.policy = policy

    async def open(self, ctx: RequestContext, plan: RequestPlan, *, wait: bool | None = None) -> Attempt:
        """The attempt at the first backend that takes the request, its answer's head read; the caller closes it.

        Only what provably did not run is tried elsewhere: a request that never left (at once), and one that a backend
        states it will not run (within the budget). Everything else may have cost GPU time and is not repeated.

        Args:
            ctx: whose request.
            plan: what is sent, and to which group.
            wait: for a seat where all are taken, for an answer where all are suspected to hang; None: unless the group
                has a fallback, which is asked first.

        Raises:
            NoBackendError: none is available, none could be reached, all of them refused, or all are full.
            MayHaveRun: a backend took the request and broke off.
        """
        group = plan.route.group
        self._budgets[group.name].note_request()
        path = ctx.endpoint.upstream_path
        assert path is not None  # noqa: S101 -- only relayed endpoints are planned
        headers = self._headers if not plan.headers else [*self._headers, *plan.headers]
        request = UpstreamRequest(b"POST", path, headers, plan.body, ctx, ctx.request_id.encode())
        choice = self._choose(group)
        backends: Sequence[Backend] = choice.backends
        if len(backends) > 1:
            backends = await self._policy.order(group.name, backends)
            backends = self.attempts.ordered(backends) if self.attempts.aside else backends
        search = None
        if self._limited or choice.trial is not None or not backends:
            search = await self._search(group, choice, backends, patient=not group.fallback if wait is None else wait)
            attempt = await self._next(ctx, search)
        else:  # as nearly always
            attempt = self.attempts.begin(backends[0], ctx)
        while True:
            backend = attempt.backend
            ctx.backend, ctx.phase = backend.name, _CONNECTING
            ctx.attempts += 1
            if ctx.trace_id is not None:
                request.trace = self.attempts.trace_fields(ctx)
            try:
                address = self._addresses.get(backend.url) or self._addresses.read(backend.url)
                reply = attempt.reply = await self._client.send(address, request)
            except BaseException as failure:
                self._fail(ctx, attempt, failure)
                if not isinstance(failure, NeverSent):
                    raise
                moved = Moved.UNREACHABLE
            else:
                if reply.status == OK or not await self._refuses(ctx, attempt, reply):
                    return attempt
                moved = Moved.REFUSED
            if search is None:
                search = Search(group, [*backends[1:], *choice.reserve])
            search.move(moved)
            attempt = await self._next(ctx, search)

    async def _search(
        self, group: BackendGroup, choice: Choice, backends: Sequence[Backend], *, patient: bool
    ) -> Search:
        """A search among those `backends`, or where there are none among those that are asked at last."""
        if patient and choice.at_last is not None:
            choice = choice.at_last
            backends = choice.backends
            if len(backends) > 1:
                backends = await self._policy.order(group.name, backends)
        return Search(group, [*backends, *choice.reserve], choice.trial, patient=patient)

    async def _next(self, ctx: RequestContext, search: Search) -> Attempt:
        """The next attempt of a search; raises if nobody is left."""
        attempt = await self._searcher.next(ctx, search)
        if attempt is None:
            raise self._nobody(search)
        return attempt

    async def _refuses(self, ctx: RequestContext, attempt: Attempt, reply: Reply) -> bool:
        """Whether an answer that is no 200 states that the request will not run; its attempt is closed then."""
        status = reply.status
        attempt.signal = of_status(status)
        if status not in MAY_BE_REFUSAL:
            return False
        try:
            body = await read_bounded(reply)
        except BaseException as failure:
            self._fail(ctx, attempt, failure)
            raise
        reply.close()
        attempt.reply = BufferedReply(status, reply.headers, body)
        if not refused(status, body):
            return False
        if status == ENGINE_ERROR:
            attempt.signal = Signal.DRAINING
        self.attempts.close(attempt)
        return True

    def _fail(self, ctx: RequestContext, attempt: Attempt, failure: BaseException) -> None:
        self.attempts.fail(attempt, ctx, failure)
        self.attempts.close(attempt)

    def _nobody(self, search: Search) -> NoBackendError:
        """Why no backend took it, as the client is told."""
        if Moved.REFUSED in search.reasons:
            return BusyError()
        now = self._choose(search.group)
        retry_after = UNREACHABLE_RETRY_SECS if now.backends else now.retry_after
        if search.reasons:
            return UnreachableError(retry_after)
        down = SuspectedError if now.at_last is not None and not search.patient else DownError
        return down(now.why, retry_after)
