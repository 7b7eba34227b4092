"""What did the control process publish? The catalog's read side, of which each worker has one."""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Self, TypeVar

import lmdb
import msgspec

from gateway.catalog.environments import Environment, open_to_read
from gateway.catalog.errors import CatalogUnavailableError
from gateway.catalog.head import Head, is_at, open_head
from gateway.catalog.records import (
    MODELS,
    KeyEntry,
    decode_key,
    decode_organization,
    key_record,
    opt_out_record,
    organization_record,
    spelled,
)
from gateway.core.clock import Clock
from gateway.core.fence import fence
from gateway.core.principal import AccountLimits

if TYPE_CHECKING:
    from gateway.catalog.settings import CatalogSettings

log = logging.getLogger(__name__)

LOOK_SECS = 1.0
"""Between two looks for a head that is not there, or that nobody writes any more: somebody may have removed it."""
TRIES = 3
"""An environment may be removed between the look at its number and its opening: there is a newer one then."""

Entry = TypeVar("Entry")


class Catalog:
    """Keys, organizations and models as they were last published; a scope.

    A look-up copies what it wants and ends its transaction at once: a process that is stopped keeps no old pages. It
    takes some 8 us, and none is made on a request's way while `version` gives the number that it gave before.

    Args:
        folder: of the catalog.
        settings: how long it holds.
        clock: how long that is.

    Attributes:
        version: gives a number that is another one after any publication; 0 while there is none. One load from
            mapped memory. It is to be asked for anew each time (`catalog.version()`), as it may move.
    """

    def __init__(self, folder: Path, settings: "CatalogSettings", clock: Clock) -> None:
        self._folder = folder
        self._fresh_secs = settings.keys_fresh_secs
        self._max_age_secs = settings.keys_max_age_secs
        self._clock = clock
        self._head: Head | None = None
        self._environment: Environment | None = None
        self._number = 0
        self._look_at = 0.0
        self.version: Callable[[], int] = int

    def open(self) -> None:
        """Map what there is; that nothing was published, or that it cannot be read, is told by look-ups."""
        self._map()

    def close(self) -> None:
        """Let go of it; every later look-up raises."""
        self._leave()
        self._head = None
        self.version = int
        self._look_at = float("inf")

    def __enter__(self) -> Self:
        self.open()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def fresh(self) -> bool:
        """Whether the database answered the publisher a moment ago (KEYS_FRESH_SECS): what is not here, is not."""
        head = self._head
        return (
            head is not None
            and head.environment() != 0
            and self._clock.monotonic() - head.contact() <= self._fresh_secs
            and head.sound
        )

    @property
    def settled(self) -> bool:
        """Whether all that can be known of keys for now is: they were published, or the database does not answer."""
        self.look()
        head = self._head
        return head is not None and head.sound and bool(head.version() or head.in_vain())

    @property
    def served_until(self) -> float:
        """Until when known keys may be admitted, in seconds on the monotonic clock; infinity where they always may."""
        if not self._max_age_secs:
            return float("inf")
        return (0.0 if self._head is None else self._head.contact()) + self._max_age_secs

    def key(self, digest: bytes) -> KeyEntry | None:
        """The API key of that digest, whatever the time is; None: it is not in force, as far as the catalog knows.

        Raises:
            CatalogUnavailableError: nothing was published, or it cannot be read.
        """
        entry = self._decoded(key_record(digest), decode_key)
        if entry is not None and entry.digest != digest:
            raise CatalogUnavailableError("a record is not what it stands for")
        return entry

    def organization(self, name: str) -> AccountLimits | None:
        """An organization's own limits; None: the settings' defaults hold.

        Raises:
            CatalogUnavailableError: as `key`.
        """
        entry = self._decoded(organization_record(name), decode_organization)
        return None if entry is None or entry.name != name else entry.limits

    def opted_out(self, name: str) -> bool:
        """Whether no text of this organization's requests may be kept.

        Raises:
            CatalogUnavailableError: as `key`.
        """
        return self._get(opt_out_record(name)) == spelled(name)

    def models(self) -> bytes:
        """The registry's blob as it was published; empty when there is none.

        Raises:
            CatalogUnavailableError: as `key`.
        """
        return self._get(MODELS) or b""

    def look(self) -> None:
        """See whether the head is still the one that is written, once a second at the most; look-ups do so."""
        now = self._clock.monotonic()
        if now < self._look_at:
            return
        self._look_at = now + LOOK_SECS
        if self._head is None or not is_at(self._head, self._folder):
            self._map()

    def _map(self) -> None:
        self._leave()
        try:
            self._head = head = open_head(self._folder, write=False)
        except CatalogUnavailableError as error:
            self._head, self.version = None, int
            log.warning("catalog_unavailable", extra={"why": str(error)})
        else:
            self.version = head.version

    def _leave(self) -> None:
        if self._environment is not None:
            self._environment.close()
        self._environment, self._number = None, 0

    def _decoded(self, record: bytes, decode: Callable[[bytes], Entry]) -> Entry | None:
        value = self._get(record)
        try:
            return None if value is None else decode(value)
        except msgspec.MsgspecError as error:
            raise CatalogUnavailableError("a record cannot be read") from error

    def _get(self, record: bytes) -> bytes | None:
        if not self.fresh:
            self.look()
        fence()  # what is read from here on is of the version that the caller has read, or of a later one
        for _ in range(TRIES):
            environment = self._current()
            if environment is not None:
                return _read(environment, record)
        raise CatalogUnavailableError("the catalog changes faster than it can be opened")

    def _current(self) -> Environment | None:
        """The environment in force; None: it was replaced meanwhile.

        Raises:
            CatalogUnavailableError: there is none.
        """
        head = self._head
        if head is None or not head.sound or not head.environment():
            raise CatalogUnavailableError("nothing was published")
        number = head.environment()
        if number != self._number:
            self._leave()
            try:
                self._environment = open_to_read(self._folder, number)
            except CatalogUnavailableError:
                if head.environment() == number:
                    raise
                return None
            self._number = number
        return self._environment


def _read(environment: Environment, record: bytes) -> bytes | None:
    """A copy of one value."""
    try:
        tree = environment.begin(None, None, False)  # noqa: FBT003 -- LMDB's
        try:
            return tree.get(record)
        finally:
            tree.abort()
    except lmdb.Error as error:
        raise CatalogUnavailableError(str(error)) from error
