"""Which stores are there to choose from, and what is the same in each of them?"""

from enum import StrEnum

EVICTION_SAMPLE = 32
"""Buckets looked at when one must go: enough that a drained one is rarely the fullest of them."""

BUSIEST = 10
"""Keys that `counts()` names."""


class StoreKind(StrEnum):
    """The implementations of `LimiterStore`."""

    LMDB = "lmdb"
    MEMORY = "memory"
