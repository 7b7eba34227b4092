"""Which words may be chosen about backends, and what bounds what is said of them?"""

from enum import StrEnum

MAX_TURNS = 1000
"""Turns after which shares begin anew. A worker plans them all when other replicas than before are available, 5 ms for
so many of 64 replicas, in which it does nothing else."""
NO_PARSER = "none"
"""An empty setting is one that was not set."""


class BackendsShared(StrEnum):
    """Which backends' URLs lead each of several hosts to the same server."""

    AUTO = "auto"
    ON = "on"
    OFF = "off"
