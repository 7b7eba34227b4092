"""Which fleet is in force in this process now? One value that is replaced whole when another edition is published."""

import logging
from collections.abc import Callable
from hashlib import blake2b
from typing import TYPE_CHECKING, Final, Protocol

from gateway.backends.roster import Roster
from gateway.catalog.errors import CatalogUnavailableError
from gateway.core.clock import Clock
from gateway.core.endpoint import ModelKind
from gateway.core.fleet import BackendGroup
from gateway.fleet.edition import read_edition
from gateway.fleet.merge import merge, static_roster

if TYPE_CHECKING:
    from gateway.backends.settings import BackendSettings

log = logging.getLogger(__name__)

LOOK_SECS: Final = 0.25
"""Between two looks at the catalog's version: a change must hold everywhere within a second, and no request pays."""


class Published(Protocol):
    """Where editions are read: a `catalog.reader.Catalog`, which loads LMDB."""

    @property
    def version(self) -> Callable[[], int]:
        """Gives another number after any publication; 0: there was none."""
        ...

    def look(self) -> None:
        """See whether somebody else publishes by now."""
        ...

    def models(self) -> bytes:
        """The blob; empty for none. Raises CatalogUnavailableError."""
        ...


class LiveFleet:
    """Follows what is published; in each worker, and beside the prober.

    Nothing that runs is disturbed: a request keeps the group that its plan names, with that group's backends and
    what is done to its body, and whoever asks next gets the new one.

    Args:
        static: what the settings describe.
        catalog: where editions stand; None: the settings are all there is.

    Attributes:
        static: as given.
        roster: the fleet in force.
        version: another number for each fleet, the same in every process that has the same one.
    """

    def __init__(self, static: Roster, catalog: Published | None) -> None:
        self.static = static
        self.roster = static
        self._described = "\n".join(map(repr, static.groups)).encode()
        self.version = self._version_of(b"")
        self._catalog = catalog
        self._seen = 0
        self._blob = b""
        self._listeners: list[Callable[[Roster], None]] = []

    @property
    def groups(self) -> tuple[BackendGroup, ...]:
        """Those in force."""
        return self.roster.groups

    def of_kind(self, kind: ModelKind) -> tuple[BackendGroup, ...]:
        """Those whose model can do that."""
        return self.roster.of_kind(kind)

    def listen(self, listener: Callable[[Roster], None]) -> None:
        """Call it with every fleet that comes into force, from now on."""
        self._listeners.append(listener)

    def refresh(self) -> None:
        """Have in force what was published last. What cannot be read changes nothing."""
        if self._catalog is None:
            return
        self._catalog.look()
        version = self._catalog.version()
        if version == self._seen:
            return
        try:
            blob = self._catalog.models()
        except CatalogUnavailableError:
            return
        self._seen = version
        if blob != self._blob:
            self._adopt(blob)

    async def run(self, clock: Clock) -> None:
        """Refresh until cancelled; a fault of ours must not end it for good."""
        if self._catalog is None:
            return
        while True:
            try:
                self.refresh()
            except Exception:
                log.exception("models_not_followed")
            await clock.sleep(LOOK_SECS)

    def _adopt(self, blob: bytes) -> None:
        self._blob = blob
        try:
            merged = merge(self.static, read_edition(blob))
        except ValueError as error:
            log.error("models_unreadable", extra={"why": str(error)})  # noqa: TRY400 -- the sentence says it all
            return
        self.roster = merged.roster
        self.version = self._version_of(blob)
        for listener in self._listeners:
            listener(merged.roster)
        if merged.objections:
            log.warning("models_left_out", extra={"why": list(merged.objections)})

    def _version_of(self, blob: bytes) -> int:
        digest = blake2b(self._described, digest_size=8, key=blake2b(blob, digest_size=32).digest()).digest()
        return int.from_bytes(digest, "little")


def live_fleet(settings: "BackendSettings", catalog: Published | None) -> LiveFleet:
    """The fleet of these settings, and of what is published beside them."""
    return LiveFleet(static_roster(settings), catalog)
