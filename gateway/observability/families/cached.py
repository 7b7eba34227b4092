"""What do the families of the response cache count?"""

from gateway.observability.families.family import Family, Kind

CACHE_REQUESTS = Family(
    Kind.COUNTER,
    "gateway_cache_requests",
    "Requests whose answer may be shared: `hit`, answered from what is kept; `coalesced`, by an identical request's "
    "run; `miss`, by one of their own.",
    ("path", "result"),
)
CACHE_BYTES_ADDED = Family(
    Kind.COUNTER,
    "gateway_cache_added_bytes",
    "Bytes of answers that were kept; less gateway_cache_dropped_bytes_total, this is what is held now.",
)
CACHE_BYTES_DROPPED = Family(Kind.COUNTER, "gateway_cache_dropped_bytes", "Bytes of kept answers that have gone.")
CACHE_EVICTIONS = Family(
    Kind.COUNTER,
    "gateway_cache_evictions",
    "Kept answers that have gone: `expired`, as their time was over; `room`, before that, for others.",
    ("reason",),
)
