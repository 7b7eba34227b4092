"""Does this key open the door, and to whom? GATEWAY_API_KEY in constant time, other keys as the catalog knows them."""

import hashlib
import hmac
from collections.abc import Iterable

from gateway.auth.key_directory import KeyDirectory, KeysUnavailableError, keys_unavailable
from gateway.core.asgi import Fields
from gateway.core.endpoint import Dialect
from gateway.core.errors import InvalidApiKeyError
from gateway.core.principal import MASTER, Principal

MESSAGE = "Missing or incorrect API key. Send a valid one as `Authorization: Bearer <key>`."
ANTHROPIC_MESSAGE = (
    "Missing or incorrect API key. Send a valid one as `x-api-key: <key>` or `Authorization: Bearer <key>`."
)
"""One text per dialect for missing, unknown, revoked, expired and malformed keys: it teaches a guesser nothing."""
BEARER = b"bearer "
BEARER_LENGTH = len(BEARER)

_ANTHROPIC = Dialect.ANTHROPIC


class Keyring:
    """The gateway's own keys, kept as digests, and beside them those that the control process made known.

    Args:
        keys: GATEWAY_API_KEY.
        directory: the API keys; None: there is no control process, and no key but the gateway's own.
    """

    def __init__(self, keys: Iterable[str], directory: KeyDirectory | None = None) -> None:
        self._digests = [_digest(key.encode()) for key in keys]
        self._directory = directory
        self._usual: dict[bytes, bytes] = {}
        """Digests of the bearer tokens that were in force, by the field that showed them: a client repeats its own.

        As many as there are keys and ways to write `Bearer`; what is wrong is digested each time and never kept. A
        look-up compares hashes, so that its time does not tell how much of a key is right.
        """

    def admit(self, fields: Fields, dialect: Dialect, now: float) -> Principal:
        """Who shows a key in force: the bearer token, on Anthropic's paths `x-api-key` too.

        Anthropic's SDK sends a bearer token even for `api_key=`, other clients of that dialect send `x-api-key` alone.
        Where both are keys, one of the gateway's own counts first, then the bearer. Comparing digests of equal length,
        without an early exit, takes the same time for every wrong key.

        Args:
            fields: the request's header fields.
            dialect: of its path.
            now: seconds on the monotonic clock.

        Raises:
            InvalidApiKeyError: no key, or none that is in force.
            KeysUnavailableError: a key that may be in force, which nobody can tell now.
        """
        value = fields.get(b"authorization", b"")
        digest = self._usual.get(value)
        if digest is None or not self._in_force(digest):
            return self._admit_other(fields, value, dialect, now)
        return MASTER

    def _admit_other(self, fields: Fields, bearer: bytes, dialect: Dialect, now: float) -> Principal:
        """Admit by a field that has not shown one of the gateway's own keys before."""
        directory = self._directory
        api_key = fields.get(b"x-api-key") if dialect is _ANTHROPIC else None
        if directory is not None and api_key is None:
            principal = directory.recall(directory.bearers, bearer, now)
            if principal is not None:
                return principal
        found = self._meet(bearer)
        if api_key is not None:
            found |= self._in_force(_digest(api_key))
        if found:
            return MASTER
        principal = None if directory is None else _ask(directory, bearer, api_key, now)
        if principal is None:
            raise _refusal(dialect)
        return principal

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


def _ask(directory: KeyDirectory, bearer: bytes, api_key: bytes | None, now: float) -> Principal | None:
    """Whom the catalog knows by one of the two fields; what it cannot tell of one counts if the other is no key."""
    doubtful = False
    for known, shown, beginning in ((directory.bearers, bearer, BEARER), (directory.api_keys, api_key, b"")):
        if shown is None or shown[: len(beginning)].lower() != beginning:
            continue
        key = shown[len(beginning) :]
        try:
            principal = directory.recall(known, shown, now) or directory.judge(known, shown, key, now)
        except KeysUnavailableError:
            doubtful = True
        else:
            if principal is not None:
                return principal
    if doubtful:
        raise keys_unavailable()
    return None


def _refusal(dialect: Dialect) -> InvalidApiKeyError:
    return InvalidApiKeyError(ANTHROPIC_MESSAGE if dialect is _ANTHROPIC else MESSAGE, should_retry=False)


def _digest(key: bytes) -> bytes:
    """BLAKE2s: as strong as SHA-256 for this, at half its cost for a key's few bytes (0.5 us against 0.9)."""
    return hashlib.blake2s(key).digest()
