"""How long does the limits' store take, and what fails there?"""

from gateway.observability.families.family import Family, Kind

DECISIONS = (0.00001, 0.000025, 0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 1.0)
"""From a transaction in shared memory, 20 us, to REDIS_TIMEOUT_MS and beyond."""

STORE_SECONDS = Family(
    Kind.HISTOGRAM,
    "gateway_store_seconds",
    "Seconds that decisions of the limits' store took, one of 31 of them, by what they were about: `bucket`, `slot`, "
    "`seat`, `account`, `turn`, `journal`, `upkeep`; with `server_` before it where the server of REDIS_URL decided.",
    ("operation",),
    DECISIONS,
)
STORE_ERRORS = Family(
    Kind.COUNTER,
    "gateway_store_errors",
    "Decisions of the limits' store that could not be made, every one; requests were refused for it, or the host kept "
    "to its share of each limit (`server_`).",
    ("operation",),
)
