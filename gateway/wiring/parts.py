"""What is one worker made of, so far as several of its parts need it?"""

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from gateway.backends.board import Board
from gateway.backends.breaker import Breaker
from gateway.backends.view import BoardView
from gateway.cache.response_cache import ResponseCache
from gateway.catalog.reader import Catalog
from gateway.core.clock import Clock
from gateway.core.context import RequestContext
from gateway.core.events import EventLog
from gateway.core.worker import WorkerIdentity
from gateway.fleet.live import LiveFleet
from gateway.observability.families.hosts import LIMITS_NOT_SHARED, LIMITS_OUTAGES
from gateway.observability.live import LiveGauges
from gateway.observability.log_writer import LogWriter
from gateway.observability.metrics import Metrics
from gateway.store.protocol import LimiterStore

if TYPE_CHECKING:
    from gateway.audit.trail import Trail
    from gateway.settings import Settings
    from gateway.tracing.tracing import Tracing


class Voice(NamedTuple):
    """What a worker says of itself, and the clock that dates it."""

    clock: Clock
    metrics: Metrics
    gauges: LiveGauges
    writer: LogWriter
    log: EventLog
    record: Callable[[RequestContext], None]
    tracing: "Tracing | None"


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


class Shared(NamedTuple):
    """What the workers of a host share."""

    store: LimiterStore
    sharing: "Sharing"
    catalog: Catalog | None
    cache: ResponseCache | None
    trail: "Trail | None"


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
