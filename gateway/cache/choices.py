"""Which words may be chosen for who shares vLLM's prefix cache?"""

from enum import StrEnum


class CacheSalt(StrEnum):
    """Who shares vLLM's prefix cache."""

    OFF = "off"
    """Everybody with everybody."""
    ORG = "org"
    """An organization with itself."""
