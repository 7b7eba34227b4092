"""Which store is it? A row per kind."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from gateway.core.clock import Clock, SystemClock
from gateway.core.timings import Timings, Untimed
from gateway.store.accounts import Windows, windows_in_utc
from gateway.store.choices import StoreKind
from gateway.store.lmdb import LmdbStore
from gateway.store.memory import MemoryStore
from gateway.store.protocol import LimiterStore

if TYPE_CHECKING:
    from gateway.store.settings import StoreSettings

STORES: "dict[StoreKind, Callable[[StoreSettings, Clock, Timings], LimiterStore]]" = {
    StoreKind.LMDB: LmdbStore,
    StoreKind.MEMORY: lambda settings, clock, _: MemoryStore(settings, clock),  # it waits for nobody, and cannot fail
}


def open_store(
    settings: "StoreSettings",
    clock: Clock | None = None,
    on_away: Callable[[bool], None] = lambda _: None,
    timings: Timings | None = None,
    windows_at: Callable[[float], Windows] = windows_in_utc,
) -> LimiterStore:
    """The store that the settings name; `await store.open()` before its first use.

    `on_away` is told when the server of several hosts is away, and when it is back; `timings`, of a sample of its
    decisions and of those that fail; `windows_at` says which day and month a second since 1970 lies in.
    """
    clock, timings = clock or SystemClock(), timings or Untimed()
    local = STORES[settings.limiter_store](settings, clock, timings)
    if not settings.redis_url.get_secret_value():
        return local
    from gateway.store.valkey.store import ValkeyStore  # noqa: PLC0415 -- who has one host does not load the client

    return ValkeyStore(settings, clock, local, on_away, timings, windows_at)
