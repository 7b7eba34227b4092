"""Which store is it? A row per kind."""

from collections.abc import Callable

from gateway.core.clock import Clock, SystemClock
from gateway.store.lmdb import LmdbStore
from gateway.store.memory import MemoryStore
from gateway.store.protocol import LimiterStore
from gateway.store.settings import StoreKind, StoreSettings

STORES: dict[StoreKind, Callable[[StoreSettings, Clock], LimiterStore]] = {
    StoreKind.LMDB: LmdbStore,
    StoreKind.MEMORY: MemoryStore,
}


def open_store(settings: StoreSettings, clock: Clock | None = None) -> LimiterStore:
    """The store that the settings name; `await store.open()` before its first use."""
    return STORES[settings.limiter_store](settings, clock or SystemClock())
