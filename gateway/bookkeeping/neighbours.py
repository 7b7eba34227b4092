"""Is this the only host on its database? Where it is not, and nothing is shared, limits are granted twice."""

import contextlib
import logging
import socket
from collections.abc import Callable
from pathlib import Path

import orjson

from gateway.core.clock import Clock
from gateway.core.control_wire import SPLIT_NOTICE
from gateway.database.errors import DatabaseUnavailableError
from gateway.database.hosts import Hosts
from gateway.observability.families.hosts import HOSTS, LIMITS_SPLIT
from gateway.observability.gauge import Gauge
from gateway.observability.metrics import Metrics

logger = logging.getLogger(__name__)

WHY = "REDIS_URL is not set: each host grants every rate limit, slot and quota in full, so that together they double"
REMEDY = "set the same REDIS_URL on all of them, or give each host a DATABASE_URL of its own"
BEAT_SECS = 5.0
PATIENCE_SECS = 4 * BEAT_SECS
"""A host that is silent for so long is gone."""
FORGOTTEN_SECS = 3600.0


class Sight(dict[str, tuple[int, float, float]]):
    """By host: its number as it was last seen, when that changed before our eyes, and when we first looked."""


class Neighbours:
    """Looks after the other hosts of a database; its life is `run`.

    Args:
        hosts: of the database.
        identity: gives the name of this host's counters.
        shared: whether hosts share their counters (REDIS_URL).
        folder: where the notice for workers stands.
        metrics: how many hosts there are.
        clock: how long one may be silent.
    """

    def __init__(
        self, hosts: Hosts, identity: Callable[[], str], *, shared: bool, folder: Path, metrics: Metrics, clock: Clock
    ) -> None:
        self._hosts = hosts
        self._identity = identity
        self._shared = shared
        self._notice = folder / SPLIT_NOTICE
        self._clock = clock
        self._count = Gauge(metrics, HOSTS)
        self._split = Gauge(metrics, LIMITS_SPLIT)
        self._sight = Sight()
        self._told: tuple[str, ...] = ()

    async def run(self) -> None:
        """Look until cancelled; what goes wrong is logged, and tried again."""
        with contextlib.suppress(OSError):
            self._notice.unlink(missing_ok=True)  # one who was killed cannot take it back
        try:
            while True:
                try:
                    await self.look()
                except DatabaseUnavailableError:
                    self._count.set(0)
                except Exception:
                    logger.exception("hosts_not_seen", extra={"again_in_secs": BEAT_SECS})
                await self._clock.sleep(BEAT_SECS)
        finally:
            self._count.set(0)
            self._tell(())

    async def look(self) -> None:
        """Say that we live, and see who else does.

        Raises:
            DatabaseUnavailableError: not now.
        """
        now = self._clock.monotonic()
        alive, gone = [], []
        for host in await self._hosts.beat(self._identity(), socket.gethostname()):
            beat, moved, first = self._sight.get(host.id, (host.beat, float("-inf"), now))
            if beat != host.beat:
                moved = now
            self._sight[host.id] = (host.beat, moved, first)
            if now - moved <= PATIENCE_SECS:
                alive.append(host.name)
            elif now - max(first, moved) > FORGOTTEN_SECS:
                gone.append(host.id)
        self._count.set(1 + len(alive))
        self._tell(() if self._shared else tuple(alive))
        if gone:
            await self._hosts.forget(gone)
            for identity in gone:
                del self._sight[identity]

    def _tell(self, others: tuple[str, ...]) -> None:
        """Say loudly that limits are granted once by each host, and when that is over."""
        if others == self._told:
            return
        self._told = others
        self._split.set(bool(others))
        with contextlib.suppress(OSError):
            if others:
                self._notice.write_bytes(orjson.dumps(others))
            else:
                self._notice.unlink(missing_ok=True)
        if others:
            logger.error("limits_split", extra={"hosts": list(others), "why": WHY, "remedy": REMEDY})
        else:
            logger.info("limits_whole")
