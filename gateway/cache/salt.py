"""Who may share a prompt's computed prefix? The salt that an organization's requests bear."""

from functools import lru_cache
from hashlib import blake2b
from typing import Final

import msgspec

SALT_BYTES: Final = 16
"""32 hex digits."""
KEY_BYTES: Final = 64
"""The longest key that BLAKE2b takes."""
REMEMBERED: Final = 4096

_FIELD: Final = b"cache_salt"


class _Body(msgspec.Struct):
    cache_salt: str | None = None


_body = msgspec.json.Decoder(_Body)


class Salts:
    """The members that separate organizations in vLLM's prefix cache.

    A client may separate its own users by a salt of its own, and may not join another organization by guessing one:
    its salt is hashed into ours, which stands in its place.

    Args:
        secret: what all gateways of one fleet know, so that they find what the others' requests left at a backend.
    """

    def __init__(self, secret: str) -> None:
        self._key = blake2b(secret.encode(), digest_size=KEY_BYTES, person=b"cache salt").digest()
        self._member = lru_cache(REMEMBERED)(self._made)

    def member(self, organization: str, body: bytes) -> bytes:
        """The JSON member for a body that `payload.peek` accepted."""
        return self._member(organization, _own_salt(body) if _FIELD in body else "")

    def _made(self, organization: str, own: str) -> bytes:
        digest = blake2b(key=self._key, digest_size=SALT_BYTES)
        digest.update(b"%d:%b" % (len(organization.encode()), organization.encode()))
        digest.update(own.encode())
        return b'"cache_salt":"%b"' % digest.hexdigest().encode()


def _own_salt(body: bytes) -> str:
    """The client's own; one of another type, which no backend takes either, counts as none."""
    try:
        return _body.decode(body).cache_salt or ""
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return ""
