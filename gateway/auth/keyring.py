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
        self._usual: dict[bytes, bytes] = {}
        """Digests of the bearer tokens that were in force, by the field that showed them: a client repeats its own.

        As many as there are keys and ways to write `Bearer`; what is wrong is digested each time and never kept. A
        look-up compares hashes, so that its time does not tell how much of a key is right.
        """

    def admit(self, fields: Fields, dialect: Dialect) -> None:
        """Return when one of the presented keys is in force: the bearer token, on Anthropic's paths `x-api-key` too.

        Anthropic's SDK sends a bearer token even for `api_key=`, other clients of that dialect send `x-api-key` alone.
        Comparing digests of equal length, without an early exit, takes the same time for every wrong key.

        Raises:
            InvalidApiKeyError: no key, or none that is in force.
        """
        value = fields.get(b"authorization", b"")
        digest = self._usual.get(value)
        found = self._meet(value) if digest is None else self._in_force(digest)
        if dialect is _ANTHROPIC and b"x-api-key" in fields:
            found |= self._in_force(_digest(fields[b"x-api-key"]))
        if not found:
            message = ANTHROPIC_MESSAGE if dialect is _ANTHROPIC else MESSAGE
            raise InvalidApiKeyError(message, should_retry=False)

    def _meet(self, authorization: bytes) -> bool:
        """Judge a field that is not known; its digest is kept when it shows a key in force."""
        if authorization[:BEARER_LENGTH].lower() != BEARER:
            return False
        digest = _digest(authorization[BEARER_LENGTH:])
        found = self._in_force(digest)
        if found:
            self._usual[authorization] = digest
        return found

    def _in_force(self, digest: bytes) -> bool:
        found = False
        for known in self._digests:
            found |= hmac.compare_digest(digest, known)
        return found


def _digest(key: bytes) -> bytes:
    """BLAKE2s: as strong as SHA-256 for this, at half its cost for a key's few bytes (0.5 us against 0.9)."""
    return hashlib.blake2s(key).digest()
