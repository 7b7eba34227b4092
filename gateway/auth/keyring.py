"""Does this key open the door? Constant-time comparison against the keys in force."""

import hashlib
import hmac
from collections.abc import Iterable

from gateway.core.asgi import Headers
from gateway.core.endpoint import Dialect
from gateway.core.errors import InvalidApiKeyError

MESSAGE = "Incorrect API key provided. Send a valid key as `Authorization: Bearer <key>`."
"""One text for missing, unknown, revoked and malformed keys: an answer teaches a guesser nothing."""
BEARER = b"bearer "


class Keyring:
    """The gateway's own keys, kept as digests."""

    def __init__(self, keys: Iterable[str]) -> None:
        self._digests = [_digest(key.encode()) for key in keys]

    def admit(self, headers: Headers, dialect: Dialect) -> None:
        """Return when one of the presented keys is in force.

        Comparing digests of equal length, without an early exit, takes the same time for every wrong key.

        Raises:
            InvalidApiKeyError: no key, or none that is in force.
        """
        found = False
        for key in presented_keys(headers, dialect):
            digest = _digest(key)
            for known in self._digests:
                found |= hmac.compare_digest(digest, known)
        if not found:
            raise InvalidApiKeyError(MESSAGE, should_retry=False)


def _digest(key: bytes) -> bytes:
    """BLAKE2s: as strong as SHA-256 for this, at half its cost for a key's few bytes (0.5 us against 0.9)."""
    return hashlib.blake2s(key).digest()


def presented_keys(headers: Headers, dialect: Dialect) -> list[bytes]:
    """The keys a request shows: the first bearer token, and on Anthropic's paths the first `x-api-key`.

    Anthropic's SDK sends a bearer token even for `api_key=`, other clients of that dialect send `x-api-key` alone.
    """
    bearer = api_key = None
    for name, value in headers:
        if name == b"authorization":
            if bearer is None and value[: len(BEARER)].lower() == BEARER:
                bearer = value[len(BEARER) :]
        elif name == b"x-api-key" and api_key is None and dialect is Dialect.ANTHROPIC:
            api_key = value
    return [key for key in (bearer, api_key) if key is not None]
