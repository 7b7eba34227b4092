"""How is the catalog spelled in bytes? One tree, told apart by the first byte, values in MessagePack.

a hash          an organization of whose requests the audit trail keeps no text: its name
k digest        a key that is neither revoked nor expired: `KeyEntry`
m               the registry of models, as its own room spells it
o hash          an organization whose limits are not the settings': its name and `AccountLimits`
"""

import hashlib
from typing import Final

import msgspec
from msgspec import Struct

from gateway.core.principal import AccountLimits, Principal

LAYOUT: Final = 0x6777_6361_7400_0002
"""Changes with any change of this module: a catalog of another layout is not read."""

MODELS: Final = b"m"


class KeyEntry(Struct, frozen=True, array_like=True):
    """An API key that is in force.

    Attributes:
        digest: of the key, see `auth.api_key.digest`.
        principal: what it allows.
        starts: from when on it is valid, in seconds since 1970; 0: it is.
        expires: from when on it is not, likewise; 0: never.
    """

    digest: bytes
    principal: Principal
    starts: float = 0.0
    expires: float = 0.0

    def valid_at(self, wall: float) -> bool:
        """Whether it may be used at that moment, in seconds since 1970."""
        return self.starts <= wall and (not self.expires or wall < self.expires)


class OrganizationEntry(Struct, frozen=True, array_like=True):
    """An organization's own limits, with its name: a hash alone would be believed to be of the right one."""

    name: str
    limits: AccountLimits


encode = msgspec.msgpack.Encoder().encode
decode_key = msgspec.msgpack.Decoder(KeyEntry).decode
decode_organization = msgspec.msgpack.Decoder(OrganizationEntry).decode


def key_record(digest: bytes) -> bytes:
    """Where the key of that digest stands."""
    return b"k" + digest


def organization_record(name: str) -> bytes:
    """Where the organization of that name stands, however long it is."""
    return b"o" + _hash(name)


def opt_out_record(name: str) -> bytes:
    """Where it stands that the organization of that name has opted out of the audit of texts."""
    return b"a" + _hash(name)


def spelled(name: str) -> bytes:
    """A name's bytes, whatever characters it has."""
    return name.encode("utf-8", "surrogatepass")


def _hash(name: str) -> bytes:
    return hashlib.blake2b(spelled(name), digest_size=16).digest()
