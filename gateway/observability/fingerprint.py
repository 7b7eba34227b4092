"""Are the settings the same? A few digits of a hash, which differ when any setting does that is not secret."""

from collections.abc import Iterable
from hashlib import sha256
from typing import Any

import msgspec

DIGITS = 12


def fingerprint(settings: Iterable[tuple[str, Any]]) -> str:
    """The settings' hash in hexadecimal digits; a pydantic model gives its names and values as it is iterated.

    Secrets are left out, those in lists too: who sees the metrics could try values until the hash is the same.
    """
    shown = {name: value for name, value in settings if not is_secret(value)}
    return sha256(msgspec.json.encode(shown, enc_hook=str, order="deterministic")).hexdigest()[:DIGITS]


def is_secret(value: object) -> bool:
    """Whether it is a secret, or a list of them."""
    values = value if isinstance(value, list | tuple) else (value,)
    return any(hasattr(one, "get_secret_value") for one in values)
