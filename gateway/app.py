"""What is the gateway made of? The one composition root: settings in, rooms wired, an ASGI application out."""

import asyncio
import sys
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from functools import partial
from random import Random
from typing import TYPE_CHECKING, NamedTuple

from gateway.admission.turnstile import Turnstile
from gateway.api.control import ControlRelay
from gateway.api.endpoints import find
from gateway.api.fleet import DrainAware
from gateway.api.openai import Handler
from gateway.api.own import build_own
from gateway.auth.address import AddressBook
from gateway.auth.key_directory import KeyDirectory
from gateway.auth.keyring import Keyring
from gateway.backends.availability import Availability
from gateway.backends.board import Board
from gateway.backends.breaker import Breaker
from gateway.backends.circuit import tell_circuit
from gateway.backends.heritage import Heritage
from gateway.backends.probed import tell_change
from gateway.backends.roster import Roster
from gateway.backends.view import BoardView
from gateway.cache.choices import CacheSalt
from gateway.cache.host import LoneHost, SharedHost
from gateway.cache.kept import Kept
from gateway.cache.response_cache import ResponseCache
from gateway.cache.salt import Salts
from gateway.catalog.head import FOLDER as CATALOG_FOLDER
from gateway.catalog.reader import Catalog
from gateway.core.asgi import ASGIApp, Receive, Scope, Send
from gateway.core.clock import Clock, SystemClock
from gateway.core.events import EventLog
from gateway.core.worker import WorkerIdentity
from gateway.fleet.live import LiveFleet, live_fleet
from gateway.limits.allowances import Allowances
from gateway.limits.quotas import Quotas
from gateway.limits.token_bucket import FailedAuthLimiter, RateLimiter
from gateway.middleware.admission import Admission
from gateway.middleware.authenticate import Authenticate
from gateway.middleware.cache import Cache, SampledCache
from gateway.middleware.chain import Layer, build_chain
from gateway.middleware.error_boundary import ErrorBoundary
from gateway.middleware.quota import Quota
from gateway.middleware.rate_limit import RateLimit
from gateway.middleware.read_body import ReadBody
from gateway.middleware.refused import recording
from gateway.middleware.request_scope import RequestScope
from gateway.observability.families import (
    CACHE_BYTES_ADDED,
    CACHE_BYTES_DROPPED,
    CACHE_EVICTIONS,
    LIMITS_NOT_SHARED,
    LIMITS_OUTAGES,
    LOG_LINES_DROPPED,
)
from gateway.observability.live import LiveGauges
from gateway.observability.log_writer import LogWriter
from gateway.observability.logs import build_logger, wants_console
from gateway.observability.metrics import Metrics
from gateway.observability.recorder import Recorder
from gateway.proxy.attempts import Attempts
from gateway.proxy.dispatcher import Addresses, Dispatcher, Wire
from gateway.proxy.fallback import Fallbacks
from gateway.proxy.forwarder import Forwarder
from gateway.proxy.planner import Planner
from gateway.proxy.retry import RetryBudget
from gateway.proxy.salting import SaltingPlanner
from gateway.proxy.search import Searcher
from gateway.proxy.seats import SeatLimits, Seats
from gateway.routing.policies import Means, Policies
from gateway.routing.registry import Registry
from gateway.store.choices import StoreKind
from gateway.store.factory import open_store
from gateway.store.protocol import LimiterStore
from gateway.upstream.http11 import Http11Client

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
    planner = build_planner(rooms)
    forwarder = build_forwarder(rooms, planner, client)
    fleet.live.listen(lambda roster: planner.follow(Registry(roster.groups)))  # last: all are ready for what it plans
    failures = FailedAuthLimiter(settings, shared.store)
    control = ControlRelay(worker.control, failures.drain, admin=bool(settings.admin_api_key))
    own = build_own(fleet.live, DrainAware(fleet.view, worker.drain), control, voice.clock, shared.sharing.is_away)
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
    return [
        lambda app: RequestScope(app, find, voice.recorder.record, voice.clock, worker),
        lambda app: ErrorBoundary(app, voice.log),
        lambda app: Authenticate(app, book, keyring, failures),
        lambda app: RateLimit(app, RateLimiter(settings, shared.store)),
        lambda app: ReadBody(app, settings, planner.plan),
        lambda app: Quota(app, quotas),
        *cache_layer(settings, shared.cache, voice.metrics, fleet.live),
        lambda app: Admission(app, Turnstile(settings, shared.store), voice.gauges),
    ]


class Voice(NamedTuple):
    """What a worker says of itself, and the clock that dates it."""

    clock: Clock
    metrics: Metrics
    gauges: LiveGauges
    writer: LogWriter
    log: EventLog
    recorder: Recorder


class Shared(NamedTuple):
    """What the workers of a host share."""

    store: LimiterStore
    sharing: "Sharing"
    catalog: Catalog | None
    cache: ResponseCache | None


class Fleet(NamedTuple):
    """What is known of the backends."""

    live: LiveFleet
    board: Board
    breaker: Breaker
    view: BoardView


class Rooms(NamedTuple):
    """What one worker is made of, so far as several of its parts need it."""

    settings: "Settings"
    worker: WorkerIdentity
    voice: Voice
    shared: Shared
    fleet: Fleet


def build_voice(settings: "Settings", worker: WorkerIdentity) -> Voice:
    """Metrics and logs; what the server refuses by itself is recorded there, too."""
    clock = SystemClock()
    metrics = Metrics(worker.page)
    writer = LogWriter(sys.stderr.fileno(), lambda: metrics.count(LOG_LINES_DROPPED))
    log = build_logger(settings, writer)
    recorder = Recorder(metrics, writer if settings.access_log else None, clock, console=wants_console(settings))
    worker.refusals.listen(recording(recorder.record, clock))
    return Voice(clock, metrics, LiveGauges(metrics), writer, log, recorder)


def build_shared(settings: "Settings", worker: WorkerIdentity, voice: Voice) -> Shared:
    """Limits and accounts, what the database said of keys and models, and what is kept of answers."""
    sharing = Sharing(settings, voice.metrics)
    store = open_store(settings, on_away=sharing.tell)
    catalog = build_catalog(settings, worker, voice.clock)
    return Shared(store, sharing, catalog, build_cache(settings, voice.metrics, voice.clock))


def build_fleet(settings: "Settings", worker: WorkerIdentity, voice: Voice, catalog: Catalog | None) -> Fleet:
    """The backends that there are, and what all processes of the host have found out about them."""
    live = live_fleet(settings, catalog)
    board = Board([backend for _, backend in live.static.backends()], worker.board, worker.row)
    breaker = Breaker(board, settings, voice.clock, partial(tell_circuit, voice.log, voice.metrics))
    view = BoardView(board, breaker, live.roster, voice.clock, settings.backend_probe_interval_secs)
    live.listen(lambda roster: board.follow(roster.placed()))  # before anybody sends anything there
    live.listen(view.follow)
    return Fleet(live, board, breaker, view)


class Sharing:
    """What figures and `/health/detailed` say of the server that several hosts share, as this worker sees it."""

    def __init__(self, settings: "Settings", metrics: Metrics) -> None:
        self._metrics = metrics
        self._away = False if settings.redis_url.get_secret_value() else None

    def tell(self, away: bool) -> None:  # noqa: FBT001 -- the store says it so
        """It is away, or back."""
        self._away = away
        self._metrics.move(LIMITS_NOT_SHARED, 1 if away else -1)
        if away:
            self._metrics.count(LIMITS_OUTAGES)

    def is_away(self) -> bool | None:
        """Whether it is; None: there is none."""
        return self._away


def build_quotas(settings: "Settings", store: LimiterStore, catalog: Catalog | None, clock: Clock) -> Quotas:
    """What organizations and keys may use; what they have used is recorded where a control process takes it away."""
    return Quotas(settings, store.accounts, Allowances(settings, catalog), clock, journaled=catalog is not None)


def build_planner(rooms: Rooms) -> Planner:
    """What plans requests; only with CACHE_SALT=org it is asked whose they are."""
    settings, fleet = rooms.settings, rooms.fleet
    registry, context_of = Registry(fleet.live.groups), fleet.view.max_model_len
    if settings.cache_salt is CacheSalt.OFF:
        return Planner(registry, settings, context_of)
    return SaltingPlanner(registry, settings, context_of, Salts(settings.backend_api_key.get_secret_value()))


def build_cache(settings: "Settings", metrics: Metrics, clock: Clock) -> ResponseCache | None:
    """What is kept of answers, by all workers of the host where they share the limits' store; None: nothing is."""
    if not settings.cache_ttl_secs:
        return None
    alone = settings.limiter_store is StoreKind.MEMORY
    size = settings.cache_max_bytes

    def count(change: Kept) -> None:
        metrics.count(CACHE_BYTES_ADDED, amount=change.added)
        if change.dropped:
            metrics.count(CACHE_BYTES_DROPPED, amount=change.dropped)
            metrics.count(CACHE_EVICTIONS, "expired", amount=change.expired)
            metrics.count(CACHE_EVICTIONS, "room", amount=change.evicted)

    return ResponseCache(settings, LoneHost(size) if alone else SharedHost(settings.limiter_path, size), clock, count)


def cache_layer(settings: "Settings", cache: ResponseCache | None, metrics: Metrics, live: LiveFleet) -> list[Layer]:
    """The layer before the slot, if anything is kept."""
    if cache is None:
        return []
    layer = SampledCache if settings.cache_sampled else Cache
    return [lambda app: layer(app, cache, settings.max_request_secs, metrics, lambda: live.version)]


def build_catalog(settings: "Settings", worker: WorkerIdentity, clock: Clock) -> Catalog | None:
    """What the control process publishes; None where no supervisor starts one, or no other process could read it."""
    if worker.board is None or settings.limiter_store is StoreKind.MEMORY:
        return None
    return Catalog(settings.limiter_path / CATALOG_FOLDER, settings, clock)


@asynccontextmanager
async def opened(rooms: Rooms, client: Http11Client) -> AsyncIterator[None]:
    """From a worker's start to its end: the rooms that hold something are open; the log is the last to close."""
    settings, worker, voice, shared, fleet = rooms
    watch = watching(settings, fleet, voice) if worker.board is None else nullcontext()
    await shared.store.open()
    try:
        with shared.catalog or nullcontext(), shared.cache or nullcontext(), voice.gauges:
            async with following(fleet.live, voice.clock), watch:
                yield
    finally:
        await client.aclose()
        await shared.store.close()
        voice.writer.close()


@asynccontextmanager
async def following(live: LiveFleet, clock: Clock) -> AsyncIterator[None]:
    """What is published of models is in force before the first request, and soon after each change."""
    live.refresh()
    task = asyncio.create_task(live.run(clock), name="models at run time")
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])


@asynccontextmanager
async def watching(settings: "Settings", fleet: Fleet, voice: Voice) -> AsyncIterator[None]:
    """A prober beside the application that it is for: where no supervisor watches the fleet."""
    from gateway.backends.prober import Prober  # noqa: PLC0415 -- an HTTP client, which a supervised worker is spared

    clock = voice.clock
    prober = Prober(
        settings,
        Heritage(fleet.board, settings.backend_stall_secs, clock.monotonic()),
        fleet.breaker,
        clock,
        ca_file=settings.upstream_ca_file,
        on_probe=lambda probed: tell_change(voice.log, probed),
    )
    probing = asyncio.create_task(prober.run(), name="prober")
    try:
        yield
    finally:
        probing.cancel()
        await asyncio.wait([probing])


def build_forwarder(rooms: Rooms, planner: Planner, client: Http11Client) -> Forwarder:
    """The room that gets a planned request its answer; workers share turns, seats and circuits, not retry budgets."""
    settings, _, voice, (store, *_), (live, board, breaker, _) = rooms
    clock, metrics, gauges = voice.clock, voice.metrics, voice.gauges
    addresses = Addresses()
    rng = Random()  # noqa: S311 -- for balance, no secret
    means = Means(store.next_turn, lambda name: board.in_flight(board.index(name)), clock, rng)
    policies = Policies(settings.balancing_policy, means)
    policy = policies.of(live.groups)
    limits = SeatLimits(settings.max_inflight_per_backend, settings.max_queued_per_backend, settings.queue_timeout_secs)
    seats = None
    if limits.limit:
        seats = Seats(store, limits, clock, gauges.seats)
    attempts = Attempts(board, breaker, policy, metrics, clock)
    budgets = defaultdict[str, RetryBudget](lambda: RetryBudget(clock, rng))
    availability = Availability(board, breaker, clock, settings.backend_probe_interval_secs)
    dispatcher = Dispatcher(
        Wire(client, addresses, settings.backend_api_key.get_secret_value()),
        policy,
        availability,
        attempts,
        Searcher(attempts, budgets, availability, seats, metrics),
    )
    fallbacks = Fallbacks(live.groups, planner, dispatcher, metrics)

    def follow(roster: Roster) -> None:
        """What is kept by a group's or a backend's name or address begins, or ends, with it."""
        names = {group.name for group in roster.groups}
        addresses.keep({backend.url for _, backend in roster.backends()})
        for name in budgets.keys() - names:
            del budgets[name]
        if seats is not None:
            gauges.seats.update(dict.fromkeys(names, 0))
        availability.forget()
        dispatcher.follow(policies.of(roster.groups))
        fallbacks.follow(roster.groups)

    follow(live.roster)
    live.listen(follow)
    return Forwarder(
        dispatcher,
        fallbacks,
        settings,
        client_write_secs=settings.client_write_timeout_secs,
        max_event_bytes=settings.max_event_bytes,
        clock=clock,
    )
