"""What do the workers of a host share? Limits and accounts, keys and models, what is kept of answers."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from gateway.cache.host import LoneHost, SharedHost
from gateway.cache.kept import Kept
from gateway.cache.response_cache import ResponseCache
from gateway.catalog.head import FOLDER as CATALOG_FOLDER
from gateway.catalog.reader import Catalog
from gateway.core.clock import Clock
from gateway.core.worker import WorkerIdentity
from gateway.fleet.live import LiveFleet
from gateway.limits.allowances import Allowances
from gateway.limits.calendar import Calendar, zone_of
from gateway.limits.quotas import Quotas
from gateway.middleware.cache import Cache, SampledCache
from gateway.middleware.chain import Layer
from gateway.observability.families.cached import CACHE_BYTES_ADDED, CACHE_BYTES_DROPPED, CACHE_EVICTIONS
from gateway.observability.families.stores import STORE_ERRORS, STORE_SECONDS
from gateway.observability.metrics import Metrics
from gateway.observability.operations import Operations
from gateway.store.choices import StoreKind
from gateway.store.factory import open_store
from gateway.store.protocol import LimiterStore
from gateway.store.subjects import subjects
from gateway.wiring.parts import Shared, Sharing, Voice
from gateway.wiring.voice import build_trail

if TYPE_CHECKING:
    from gateway.settings import Settings


def build_shared(settings: "Settings", worker: WorkerIdentity, voice: Voice) -> Shared:
    """Limits and accounts, what the database said of keys and models, and what is kept of answers."""
    sharing = Sharing(settings, voice.metrics)
    several = bool(settings.redis_url.get_secret_value())
    timings = Operations(voice.metrics, STORE_SECONDS, STORE_ERRORS, subjects(shared=several))
    calendar = Calendar(zone_of(settings.quota_timezone))
    store = open_store(settings, on_away=sharing.tell, timings=timings, windows_at=calendar.windows_at)
    catalog = build_catalog(settings, worker, voice.clock)
    cache = build_cache(settings, voice.metrics, voice.clock)
    return Shared(store, sharing, catalog, cache, build_trail(settings, voice, catalog))


def build_quotas(settings: "Settings", store: LimiterStore, catalog: Catalog | None, clock: Clock) -> Quotas:
    """What organizations and keys may use; what they have used is recorded where a control process takes it away."""
    return Quotas(settings, store.accounts, Allowances(settings, catalog), clock, journaled=catalog is not None)


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
async def showing(settings: "Settings", voice: Voice, store: LimiterStore) -> AsyncIterator[None]:
    """Figures of organizations, where no other process could read what this one counts."""
    from gateway.limits.figures import OrganizationFigures  # noqa: PLC0415 -- as below
    from gateway.oversight import terms_of  # noqa: PLC0415 -- other workers are spared both

    calendar = Calendar(zone_of(settings.quota_timezone))
    figures = OrganizationFigures(store, terms_of(settings, dict), calendar, voice.metrics, voice.clock)
    task = asyncio.create_task(figures.run(), name="figures of organizations")
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])
