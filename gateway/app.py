"""What is the gateway made of? The one composition root: settings in, rooms wired, an ASGI application out."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, nullcontext
from typing import TYPE_CHECKING

from gateway.admission.turnstile import Turnstile
from gateway.api.control import ControlRelay
from gateway.api.endpoints import find
from gateway.api.openai import Handler
from gateway.api.own import build_own
from gateway.auth.address import AddressBook
from gateway.auth.key_directory import KeyDirectory
from gateway.auth.keyring import Keyring
from gateway.core.asgi import ASGIApp, Receive, Scope, Send
from gateway.core.worker import WorkerIdentity
from gateway.limits.token_bucket import FailedAuthLimiter, RateLimiter
from gateway.middleware.admission import Admission
from gateway.middleware.authenticate import Authenticate
from gateway.middleware.chain import Layer, build_chain
from gateway.middleware.error_boundary import ErrorBoundary
from gateway.middleware.quota import Quota
from gateway.middleware.rate_limit import RateLimit
from gateway.middleware.read_body import ReadBody
from gateway.middleware.request_scope import RequestScope
from gateway.observability.vitals import WorkerFigures
from gateway.proxy.planner import Planner
from gateway.routing.registry import Registry
from gateway.store.choices import StoreKind
from gateway.upstream.http11 import Http11Client
from gateway.wiring.conductor import build_forwarder, build_planner
from gateway.wiring.fleet import build_fleet, following, seen_from_outside, watching
from gateway.wiring.parts import Rooms
from gateway.wiring.shared import build_quotas, build_shared, cache_layer, showing
from gateway.wiring.voice import build_voice, overhear_layer, queue_clock_layer, trusted_trace_layer

if TYPE_CHECKING:
    from gateway.settings import Settings

Lifespan = Callable[[], AbstractAsyncContextManager[None]]


class Application:
    """The gateway of one worker: HTTP requests go through the chain, the lifespan opens and closes the rooms."""

    def __init__(self, chain: ASGIApp, lifespan: Lifespan) -> None:
        self._chain = chain
        self._lifespan = lifespan

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """Answer one request, or live from the worker's start to its end."""
        return self._live(receive, send) if scope["type"] == "lifespan" else self._chain(scope, receive, send)

    async def _live(self, receive: Receive, send: Send) -> None:
        await receive()
        async with self._lifespan():
            await send({"type": "lifespan.startup.complete"})
            await receive()
        await send({"type": "lifespan.shutdown.complete"})


def build(settings: "Settings", worker: WorkerIdentity) -> Application:
    """Wire one worker's rooms; nothing is opened before the lifespan starts.

    Raises:
        ValueError: the settings contradict each other (two groups claim one model name).
    """
    voice = build_voice(settings, worker)
    shared = build_shared(settings, worker, voice)
    fleet = build_fleet(settings, worker, voice, shared.catalog)
    rooms = Rooms(settings, worker, voice, shared, fleet)
    client = Http11Client(settings)
    worker.beats.listen(WorkerFigures(voice.metrics, lambda: client.counts).beat)
    planner = build_planner(rooms)
    forwarder = build_forwarder(rooms, planner, client)
    fleet.live.listen(lambda roster: planner.follow(Registry(roster.groups)))  # last: all are ready for what it plans
    failures = FailedAuthLimiter(settings, shared.store)
    control = ControlRelay(worker.control, failures.drain, admin=bool(settings.admin_api_key))
    view = seen_from_outside(rooms)
    own = build_own(fleet.live, view, control, voice.clock, shared.sharing.is_away)
    chain = build_chain(door(rooms, planner, failures), Handler(forwarder.forward, own))
    return Application(chain, lambda: opened(rooms, client))


def door(rooms: "Rooms", planner: Planner, failures: FailedAuthLimiter) -> list[Layer]:
    """A request's way through the door, from the outside in."""
    settings, worker, voice, shared, fleet = rooms
    secret = settings.key_hash_secret.get_secret_value().encode()
    directory = KeyDirectory(shared.catalog, secret, voice.clock) if shared.catalog else None
    keyring = Keyring((key.get_secret_value() for key in settings.gateway_api_key), directory)
    book = AddressBook(settings.trusted_proxies)
    quotas = build_quotas(settings, shared.store, shared.catalog, voice.clock)
    trail = shared.trail
    record = voice.record if trail is None else trail.recording(voice.record)
    return [
        lambda app: RequestScope(app, find, record, voice.clock, worker),
        lambda app: ErrorBoundary(app, voice.log),
        lambda app: Authenticate(app, book, keyring, failures),
        *trusted_trace_layer(voice.tracing),
        *overhear_layer(trail),
        lambda app: RateLimit(app, RateLimiter(settings, shared.store)),
        lambda app: ReadBody(app, settings, planner.plan),
        lambda app: Quota(app, quotas),
        *cache_layer(settings, shared.cache, voice.metrics, fleet.live),
        *queue_clock_layer(voice.tracing),
        lambda app: Admission(app, Turnstile(settings, shared.store), voice.gauges),
    ]


@asynccontextmanager
async def opened(rooms: Rooms, client: Http11Client) -> AsyncIterator[None]:
    """From a worker's start to its end: the rooms that hold something are open; the log is the last to close."""
    settings, worker, voice, shared, fleet = rooms
    watch = watching(settings, fleet, voice) if worker.board is None else nullcontext()
    figures = showing(settings, voice, shared.store) if settings.limiter_store is StoreKind.MEMORY else nullcontext()
    async with AsyncExitStack() as rooms_open:
        rooms_open.callback(voice.writer.close)
        if voice.tracing is not None:
            rooms_open.callback(voice.tracing.close)
        await shared.store.open()
        rooms_open.push_async_callback(shared.store.close)
        rooms_open.push_async_callback(client.aclose)
        for room in (shared.catalog, shared.cache, shared.trail, voice.gauges):
            if room is not None:
                rooms_open.enter_context(room)
        for task in (following(fleet.live, voice.clock), figures, watch):
            await rooms_open.enter_async_context(task)
        yield
