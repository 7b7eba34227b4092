"""A catalog in memory, set by a test; and keys that it may hold."""

from collections.abc import Callable
from typing import Any

from gateway.auth.api_key import digest
from gateway.catalog.errors import CatalogUnavailableError
from gateway.catalog.records import KeyEntry
from gateway.core.principal import Principal

SECRET = b"s" * 32
KEY = b"gw-0123456789ABCDEFGHIJKLMNOPQRSTUV3ztFRp"
ACME = Principal("org:acme", "key1", "gw-01234567")


class CatalogByHand:
    """What a control process would have published.

    Attributes:
        look_ups: how often a key was asked for.
        broken: no look-up succeeds.
    """

    def __init__(self) -> None:
        self.entries: dict[bytes, KeyEntry] = {}
        self.look_ups = 0
        self.broken = False
        self.fresh = True
        self.served_until = float("inf")
        self._version = 1
        self.version: Callable[[], int] = lambda: self._version

    def add(self, key: bytes, principal: Principal = ACME, **known: Any) -> None:
        """Publish a key."""
        entry = KeyEntry(digest(key, SECRET), principal, **known)
        self.entries[entry.digest] = entry
        self._version += 1

    def revoke(self, key: bytes) -> None:
        """Publish that it is no longer one."""
        del self.entries[digest(key, SECRET)]
        self._version += 1

    def key(self, digest: bytes) -> KeyEntry | None:
        self.look_ups += 1
        if self.broken:
            raise CatalogUnavailableError("damaged")
        return self.entries.get(digest)
