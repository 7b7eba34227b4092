"""Has it been answered before? Kept answers are given again, and identical requests wait for the one that runs."""

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Final

from gateway.cache.kept import Answer
from gateway.cache.key import key_of
from gateway.cache.response_cache import Flight, Following, ResponseCache
from gateway.cache.verdict import SharedFailureError, Verdict, verdict_of
from gateway.core.asgi import ASGIApp, Headers, Message, Receive, Scope, Send, first_of
from gateway.core.context import CONTEXT_KEY, Phase, RequestContext
from gateway.core.endpoint import NEVER_SHARED
from gateway.core.lifeline import Cut, until_cut
from gateway.middleware.request_scope import leave
from gateway.observability.families.cached import CACHE_REQUESTS
from gateway.observability.metrics import Metrics

STATE_HEADER: Final = b"x-gateway-cache"
OK: Final = 200
KIND: Final = b"application/json"

_WAITING = Phase.WAITING
_ANSWERING = Phase.ANSWERING
_LIFETIME = Cut.LIFETIME
_CLIENT_GONE = Cut.CLIENT_GONE


class Cache:
    """Stands before the slot: what is answered from memory, or by another request's run, takes none.

    Args:
        app: the rest of the chain.
        cache: this worker's share of what is kept and in flight.
        max_request_secs: how long a request may live, and so wait for another's answer.
        metrics: where it is counted what became of requests.
        version: of the registry; what was kept under another one is not found.
    """

    def __init__(
        self,
        app: ASGIApp,
        cache: ResponseCache,
        max_request_secs: float,
        metrics: Metrics,
        version: Callable[[], int],
    ) -> None:
        self._app = app
        self._cache = cache
        self._max_request_secs = max_request_secs
        self._metrics = metrics
        self._version = version

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """Pass on what is not for sharing: no coroutine of its own around it."""
        if scope[CONTEXT_KEY].shareable:
            return self._unless_streamed(scope, receive, send)
        return self._app(scope, receive, send)

    def _unless_streamed(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        ctx: RequestContext = scope[CONTEXT_KEY]
        return self._app(scope, receive, send) if ctx.streamed else self._share(scope, receive, send)

    async def _share(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer from what is kept, or by what another request gets, or else run, for all that are like it.

        Raises:
            SharedFailureError: it waited for another, which failed, as did the one that was tried in its stead.
        """
        ctx: RequestContext = scope[CONTEXT_KEY]
        control = ctx.fields.get(b"cache-control", b"").lower()
        if b"no-store" in control:
            await self._app(scope, receive, send)
            return
        key = key_of(ctx, self._version())
        state = b"hit"
        found: Answer | Flight | Following | Verdict | None = None
        if b"no-cache" not in control:
            expire = partial(ctx.lifeline.cut, _LIFETIME)
            found = self._cache.ask(key, ctx.started + self._max_request_secs, expire)
        if isinstance(found, Following):
            ctx.phase = _WAITING
            state = b"coalesced"
            found = await found.outcome()
        if not isinstance(found, Answer | Verdict):
            state = b"miss"
        word = state.decode()
        self._metrics.count(CACHE_REQUESTS, ctx.endpoint.path, word)
        ctx.answer_headers.append((STATE_HEADER, state))
        if isinstance(found, Answer):
            ctx.cache = word
            await _answer(ctx, OK, [(b"content-type", found.content_type)], found.body, send)
        elif isinstance(found, Verdict):
            await _refuse(ctx, found, send)
        else:
            await _Run(self._cache, key, ctx, found, send).run(self._app, scope, receive)


class SampledCache(Cache):
    """The same with CACHE_SAMPLED: chat is shared at any temperature."""

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """Pass on what is not for sharing."""
        ctx: RequestContext = scope[CONTEXT_KEY]
        if ctx.endpoint.shared_at is NEVER_SHARED:
            return self._app(scope, receive, send)
        return self._unless_streamed(scope, receive, send)


class _Run:
    """One request on its way through the rest of the chain, its answer held back until those who wait have it.

    A leader is not bound to its client: where that leaves while others wait, it runs on for them, in the slot and on
    the account that it has. And no client that reads slowly keeps the others waiting.

    Args:
        cache: where the answer is kept.
        key: of the request.
        ctx: the request.
        flight: what it leads; None: it runs for itself alone.
        send: to its client.
    """

    def __init__(
        self, cache: ResponseCache, key: bytes, ctx: RequestContext, flight: Flight | None, send: Send
    ) -> None:
        self._cache = cache
        self._key = key
        self._ctx = ctx
        self._flight = flight
        self._send = send
        self._connection = ctx.connection
        self._status = 0
        self._headers: Headers = []
        self._parts: list[bytes] = []
        self._complete = False
        self._passing = False

    async def run(self, app: ASGIApp, scope: Scope, receive: Receive) -> None:
        """Run it, tell those who wait, then answer its own client."""
        ctx, connection, flight = self._ctx, self._connection, self._flight
        ctx.connection = None  # whole answers then come by `_hold`
        if flight is not None and connection is not None:
            flight.on_deserted = partial(ctx.lifeline.cut, _CLIENT_GONE)
            connection.watch(self._left)
        try:
            await app(scope, receive, self._hold)
        except BaseException as failure:
            if flight is not None:
                flight.fail(verdict_of(failure))
            raise
        finally:
            ctx.connection = connection
            if connection is not None and ctx.disconnect_phase is None:
                connection.watch(lambda: leave(ctx))
        if self._passing:
            return
        self._tell()
        if ctx.disconnect_phase is not None:
            ctx.lifeline.cut(_CLIENT_GONE)
            await until_cut()
        await _answer(ctx, self._status, self._headers, b"".join(self._parts), self._send)

    def _left(self) -> None:
        """The leader's own client has gone."""
        self._ctx.disconnect_phase = self._ctx.phase
        assert self._flight is not None  # noqa: S101 -- only a leader's client is watched so
        if not self._flight.desert():
            self._ctx.lifeline.cut(_CLIENT_GONE)

    async def _hold(self, message: Message) -> None:
        """Take the answer; one that is too long to be kept goes on as it comes, to its own client alone."""
        if self._passing:
            await self._send(message)
        elif message["type"] == "http.response.start":
            self._status = message["status"]
            self._headers = message["headers"]
            length = first_of(self._headers, b"content-length")
            if self._status == OK and not (length and int(length) <= self._cache.longest):
                await self._pass(message)
        else:
            self._parts.append(message.get("body", b""))
            self._complete = not message.get("more_body", False)

    async def _pass(self, message: Message) -> None:
        self._passing = True
        ctx, connection = self._ctx, self._connection
        if self._flight is not None:
            self._flight.land(None)
        ctx.connection = connection
        if connection is not None:
            connection.watch(lambda: leave(ctx))
        if ctx.disconnect_phase is not None:
            ctx.lifeline.cut(_CLIENT_GONE)
        await self._send(message)

    def _tell(self) -> None:
        """Have the others know what came of it, and keep it if it is an answer."""
        body = b"".join(self._parts)
        self._parts = [body]
        kind = first_of(self._headers, b"content-type")
        if self._status != OK:
            if self._flight is not None:
                verdict = Verdict(self._status, self._ctx.outcome, content_type=kind, body=body)
                self._flight.fail(verdict)
            return
        keepable = self._complete and kind.lower().startswith(KIND)
        answer = Answer(kind, body) if keepable else None
        if self._flight is not None:
            self._flight.land(answer)
        elif answer is not None:
            self._cache.keep(self._key, answer)


async def _answer(ctx: RequestContext, status: int, headers: Headers, body: bytes, send: Send) -> None:
    """Send a whole answer. A client that does not take it is the server's to reset."""
    ctx.phase = _ANSWERING
    connection = ctx.connection
    stated = [field for field in headers if field[0] != b"content-length"]
    if connection is None:
        start = {"status": status, "headers": [*stated, (b"content-length", b"%d" % len(body))]}
        await send({"type": "http.response.start", **start})
        await send({"type": "http.response.body", "body": body})
        return
    room = connection.answer(status, stated + ctx.answer_headers, body)
    ctx.answer_started = ctx.answer_complete = True
    ctx.status = status
    ctx.bytes_out = len(body)
    if not room:
        await connection.room()


async def _refuse(ctx: RequestContext, verdict: Verdict, send: Send) -> None:
    """Say to one that waited how what it waited for has failed."""
    if not verdict.body:
        raise SharedFailureError(verdict)
    ctx.outcome = verdict.outcome
    await _answer(ctx, verdict.status, [(b"content-type", verdict.content_type)], verdict.body, send)
