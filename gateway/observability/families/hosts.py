"""Do several hosts keep to one set of limits?"""

from gateway.observability.families.family import Family, Kind

HOSTS = Family(
    Kind.GAUGE, "gateway_hosts", "Gateway hosts that share this database, this one among them; 0: not known."
)
LIMITS_SPLIT = Family(
    Kind.GAUGE,
    "gateway_limits_split",
    "1 while several hosts share the database and no REDIS_URL: each of them then grants whole limits and quotas.",
)
LIMITS_NOT_SHARED = Family(
    Kind.GAUGE,
    "gateway_limits_not_shared",
    "Workers that do not reach the server of REDIS_URL: their host keeps to its share of each limit.",
)
LIMITS_OUTAGES = Family(
    Kind.COUNTER, "gateway_limits_outages", "How often a worker lost the server of REDIS_URL, or that what it knew."
)
