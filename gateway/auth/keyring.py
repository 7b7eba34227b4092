"""Does this key open the door? Constant-time comparison against the keys in force."""

import hashlib
import hmac
from collections.abc import Iterable

from gateway.core.asgi import Fields
from gateway.core.endpoint import Dialect
from gateway.core.errors import InvalidApiKeyError

MESSAGE = "Missing or incorrect API key. Send a valid one as `Authorization: Bearer <key>`."
ANTHROPIC_MESSAGE = (
    "Missing or incorrect API key. Send a valid one as `x-api-key: <key>` or `Authorization: Bearer <key>`."
)
"""One text per dialect for missing, unknown, revoked and malformed keys: an answer teaches a guesser nothing."""
BEARER = b"bearer "
BEARER_LENGTH = len(BEARER)

# Read once: see core/context.py.
_ANTHROPIC = Dialect.ANTHROPIC


class Keyring:
    """The gateway's own keys, kept as digests."""

    def __init__(self, keys: Iterable[str]) -> None:
        self._digests = [_digest(key.encode()) for key in keys]

    def admit(self, fields: Fields, dialect: Dialect) -> None:
        """Return when one of the presented keys is in force.

        Comparing digests of equal length, without an early exit, takes the same time for every wrong key.

        Raises:
            InvalidApiKeyError: no key, or none that is in force.
        """
        found = False
        for key in presented_keys(fields, dialect):
            digest = _digest(key)
            for known in self._digests:
                found |= hmac.compare_digest(digest, known)
        if not found:
            message = ANTHROPIC_MESSAGE if dialect is _ANTHROPIC else MESSAGE
            raise InvalidApiKeyError(message, should_retry=False)


def _digest(key: bytes) -> bytes:
    """BLAKE2s: as strong as SHA-256 for this, at half its cost for a key's few bytes (0.5 us against 0.9)."""
    return hashlib.blake2s(key).digest()


def presented_keys(fields: Fields, dialect: Dialect) -> list[bytes]:
    """The keys a request shows: its bearer token, and on Anthropic's paths its `x-api-key`.

    Anthropic's SDK sends a bearer token even for `api_key=`, other clients of that dialect send `x-api-key` alone.
    """
    keys = []
    value = fields.get(b"authorization")
    if value is not None and value[:BEARER_LENGTH].lower() == BEARER:
        keys.append(value[BEARER_LENGTH:])
    if dialect is _ANTHROPIC and b"x-api-key" in fields:
        keys.append(fields[b"x-api-key"])
    return keys
