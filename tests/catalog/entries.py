"""Which keys do tests publish? Numbered ones."""

import hashlib
from typing import Any

from gateway.catalog.records import KeyEntry
from gateway.core.principal import Principal

NOTHING: dict[str, Any] = {"keys": [], "organizations": {}, "models": b""}


def digest_of(number: int) -> bytes:
    """The digest of the key of that number."""
    return hashlib.blake2b(b"%d" % number, digest_size=32).digest()


def entry(number: int, **known: Any) -> KeyEntry:
    """The key of that number."""
    return KeyEntry(digest_of(number), Principal(f"org:{number}", f"key{number}", "gw-12345678"), **known)
