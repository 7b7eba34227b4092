"""What does this API key allow? Asked of the catalog, and remembered until the catalog has changed."""

from collections.abc import Callable
from typing import NamedTuple, Protocol

from gateway.auth.api_key import digest, is_well_formed
from gateway.catalog.errors import CatalogUnavailableError
from gateway.catalog.records import KeyEntry
from gateway.core.clock import Clock
from gateway.core.errors import UnavailableError
from gateway.core.principal import Principal
from gateway.core.refusal import Refusal

RECHECK_SECS = 1.0
"""After which even a known key is looked up again: the wall clock may have been set, the catalog may be too old."""
MAX_REMEMBERED = 8192
"""Keys kept in a worker, about 400 bytes each; only valid ones are, so that strangers cannot fill it."""
RETRY_SECS = 1.0
"""A database that comes back is heard of within a second."""
UNAVAILABLE = "API keys cannot be checked at the moment. Try again shortly."


class KeysUnavailableError(UnavailableError):
    """Nobody can tell whether this key is valid: never a 401, as the client would throw a good key away."""

    code = "keys_unavailable"
    refusal = Refusal.KEYS


class KeySource(Protocol):
    """What is asked of a `catalog.reader.Catalog`."""

    version: Callable[[], int]

    @property
    def fresh(self) -> bool:
        """Whether a key that is not there does not exist."""
        ...

    @property
    def served_until(self) -> float:
        """Until when keys may be admitted, on the monotonic clock."""
        ...

    def key(self, digest: bytes) -> KeyEntry | None:
        """The key of that digest; raises CatalogUnavailableError."""
        ...


class Known(NamedTuple):
    """A key that was valid: what it allows, by which version of the catalog, and until when that is believed."""

    principal: Principal
    version: int
    until: float


class KeyDirectory:
    """The API keys that the control process made known.

    What can be learnt by trying: a text that is no key is refused without a look-up, which anybody can tell by its
    check characters; every other costs one look-up under a keyed hash, whose place in the tree nobody can foresee. A
    key that was revoked is not there, as if it had never been; one that has just expired still is, for its holder.

    Args:
        catalog: where keys stand.
        secret: KEY_HASH_SECRET; empty: it could not be had, and nobody can tell what is a key.
        clock: the wall clock, by which keys begin and expire.

    Attributes:
        bearers: what is known, by the whole `authorization` field that showed it.
        api_keys: likewise, by the `x-api-key` field.
    """

    def __init__(self, catalog: KeySource, secret: bytes, clock: Clock) -> None:
        self._catalog = catalog
        self._secret = secret
        self._clock = clock
        self.bearers: dict[bytes, Known] = {}
        self.api_keys: dict[bytes, Known] = {}

    def recall(self, known: dict[bytes, Known], shown: bytes, now: float) -> Principal | None:
        """What the key of this field allows, if it was valid a moment ago and nothing was published since."""
        found = known.get(shown)
        if found is not None and found.version == self._catalog.version() and now < found.until:
            return found.principal
        return None

    def judge(self, known: dict[bytes, Known], shown: bytes, key: bytes, now: float) -> Principal | None:
        """What this key allows, and remember it; None: it is none, or not in force.

        Args:
            known: where to remember it.
            shown: the field that shows it.
            key: the key in that field.
            now: seconds on the monotonic clock.

        Raises:
            KeysUnavailableError: the catalog cannot tell, or is too old to be believed.
        """
        if not is_well_formed(key):
            return None
        found = self._find(key, now)
        if found is None:
            known.pop(shown, None)
            return None
        if len(known) >= MAX_REMEMBERED:
            known.clear()
        known[shown] = found
        return found.principal

    def _find(self, key: bytes, now: float) -> Known | None:
        if not self._secret:
            raise keys_unavailable()
        catalog = self._catalog
        version = catalog.version()  # before the look-up: what is published behind it is another one's
        try:
            entry = catalog.key(digest(key, self._secret))
        except CatalogUnavailableError:
            raise keys_unavailable() from None
        served_until = catalog.served_until
        if now >= served_until or (entry is None and not catalog.fresh):
            raise keys_unavailable()
        wall = self._clock.wall()
        if entry is None or not entry.valid_at(wall):
            return None
        left = entry.expires - wall if entry.expires else RECHECK_SECS
        return Known(entry.principal, version, min(served_until, now + min(left, RECHECK_SECS)))


def keys_unavailable() -> KeysUnavailableError:
    """The one text for it."""
    return KeysUnavailableError(UNAVAILABLE, retry_after=RETRY_SECS)
