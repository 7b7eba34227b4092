"""What is an API key? Its form, which secret scanners can know, and the digest that stands for it everywhere else."""

import hashlib
import re
import secrets
import string
import zlib

BEGINNING = "gw-"
ALPHABET = string.digits + string.ascii_uppercase + string.ascii_lowercase
"""Base62, in the order of ASCII."""
SECRET_CHARACTERS = 32
"""Of base62: 190 bits, which nobody guesses however fast he may ask."""
CHECKSUM_CHARACTERS = 6
"""As many as a CRC-32 needs in base62."""
SHOWN_CHARACTERS = 11
"""What may be logged and listed: `gw-` and eight characters, which leaves 142 bits unknown."""
MAX_HASH_SECRET_BYTES = hashlib.blake2b.MAX_KEY_SIZE

_BODY_CHARACTERS = len(BEGINNING) + SECRET_CHARACTERS
_LENGTH = _BODY_CHARACTERS + CHECKSUM_CHARACTERS
_FORM = re.compile(rb"gw-[0-9A-Za-z]{%d}" % (SECRET_CHARACTERS + CHECKSUM_CHARACTERS))


def mint() -> str:
    """A new key: `gw-`, 32 random characters of base62, and 6 that check all before them."""
    body = BEGINNING + "".join(secrets.choice(ALPHABET) for _ in range(SECRET_CHARACTERS))
    return body + _checksum(body.encode("ascii"))


def is_well_formed(key: bytes) -> bool:
    """Whether `mint` may have made it. Anybody can tell that by himself: how long it takes gives nothing away."""
    return (
        len(key) == _LENGTH
        and _FORM.fullmatch(key) is not None
        and _checksum(key[:_BODY_CHARACTERS]).encode("ascii") == key[_BODY_CHARACTERS:]
    )


def prefix_of(key: str) -> str:
    """The beginning by which people tell keys apart, which may be shown and logged."""
    return key[:SHOWN_CHARACTERS]


def digest(key: bytes, secret: bytes) -> bytes:
    """What is kept of a key: 32 bytes of BLAKE2b keyed with KEY_HASH_SECRET.

    Without the secret nobody can tell which key a digest is of, nor where an index of digests puts a key that he
    tries. A plain fast hash is enough beside that: there are no weak keys among 190 random bits.

    Args:
        key: as it was shown; of any length and any bytes.
        secret: 1 to 64 bytes.

    Raises:
        ValueError: no secret, or a longer one.
    """
    if not secret:
        raise ValueError("keys are never hashed without a secret")
    return hashlib.blake2b(key, digest_size=32, key=secret).digest()


def _checksum(body: bytes) -> str:
    """CRC-32 in base62, most significant first, zeros in front."""
    rest, characters = zlib.crc32(body), ""
    for _ in range(CHECKSUM_CHARACTERS):
        rest, place = divmod(rest, len(ALPHABET))
        characters = ALPHABET[place] + characters
    return characters
