"""Who is near a limit, and who was refused for one?"""

from gateway.observability.families.family import Across, Family, Kind

REFUSALS = Family(
    Kind.COUNTER,
    "gateway_refusals",
    "Requests that a limit, a quota, a queue or the state of the fleet refused. The caller's own: `rate` of requests a "
    "second, `requests` or `tokens` of a minute, quota of a `day` or a `month`, `queue_full`, `queue_timeout`, "
    "`key_slots`, `failed_auth`. The fleet's: `no_backend`, `backends_busy`, `backend_queue`. The gateway's: `bodies`, "
    "`connections`, `store`, `keys`, `shutting_down`. `shared`: what an identical request was refused for.",
    ("reason",),
)
ORGANIZATION_IN_FLIGHT = Family(
    Kind.GAUGE,
    "gateway_organization_in_flight",
    "Slots that an organization holds, over all workers, each second: of the METRICS_ORGANIZATIONS with the most "
    "requests, and of the rest together as `other`. With REDIS_URL over all hosts, so that these are not to be added.",
    ("organization",),
)
ORGANIZATION_QUEUED = Family(
    Kind.GAUGE,
    "gateway_organization_queued",
    "Requests of an organization that wait for a slot, as gateway_organization_in_flight.",
    ("organization",),
)
ORGANIZATION_LIMIT = Family(
    Kind.GAUGE,
    "gateway_organization_limit",
    "What an organization may have, of those of gateway_organization_in_flight: `in_flight`, `queued`, and each limit "
    "that it has of requests or tokens in a minute, a day or a month.",
    ("organization", "limit"),
)
ORGANIZATION_QUOTA_USED = Family(
    Kind.GAUGE,
    "gateway_organization_quota_used_ratio",
    "Share of a quota of the calendar that is used, running requests included; of the METRICS_ORGANIZATIONS that are "
    "nearest to the end of one. Looked at four times a minute.",
    ("organization", "quota"),
)
SLOTS_HELD = Family(
    Kind.GAUGE,
    "gateway_slots_held",
    "Slots of organizations that the limits' store says are held, each second. A little above "
    "gateway_in_flight_requests, as workers keep some for their next requests; far above it for minutes is a leak.",
)
RETRY_BUDGET = Family(
    Kind.GAUGE,
    "gateway_retry_budget_ratio",
    "Share that is left of the budget of retries after refusals by backends: of the group and the worker with the "
    "least.",
    across=Across.LEAST,
)
