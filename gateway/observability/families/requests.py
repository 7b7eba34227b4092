"""What became of requests, and how long did it take?"""

from gateway.observability.families.family import Family, Kind

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 1800.0, 5400.0)
"""From a cache hit to MAX_REQUEST_SECS: a long agent turn must not end in +Inf."""
WAITS = (0.001, 0.005, 0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 1.5, 2.0, 5.0)
"""Around QUEUE_TIMEOUT_SECS, where a wait becomes a refusal."""
FIRST_TOKENS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 0.75, 1.0, 1.5, 2.5, 5.0, 10.0, 30.0, 120.0)
"""Fine around 2.5 s, the objective for 100 users."""
OVERHEADS = (0.0001, 0.00025, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
"""From what a request costs, some 0.2 ms, over a new connection to that of a worker that has more than it can do."""

REQUESTS = Family(
    Kind.COUNTER,
    "gateway_requests",
    "Requests that were answered or left, by the path of the allow-list (`other` for everything else), the group of "
    "the model, the status (499 for a client that left before its answer began) and the outcome in one word.",
    ("path", "model", "status", "outcome"),
)
TOKENS = Family(
    Kind.COUNTER,
    "gateway_tokens",
    "Tokens as the backends state them in `usage`: direction `prompt` or `completion`.",
    ("model", "direction"),
)
IN_FLIGHT = Family(Kind.GAUGE, "gateway_in_flight_requests", "Requests that hold a slot.", ())
QUEUED = Family(
    Kind.GAUGE,
    "gateway_queued_requests",
    "Requests that wait for a slot. Those that wait for a seat at a backend have one: gateway_seats_waiting has them.",
    (),
)
SEATS_WAITING = Family(
    Kind.GAUGE,
    "gateway_seats_waiting",
    "Requests that have a slot and wait for a seat at a backend of the group; only with MAX_INFLIGHT_PER_BACKEND.",
    ("group",),
)
QUEUE_WAIT = Family(
    Kind.HISTOGRAM,
    "gateway_queue_wait_seconds",
    "Seconds a request waited for its slot, and for its seat at a backend where MAX_INFLIGHT_PER_BACKEND is set.",
    ("model",),
    WAITS,
)
FIRST_TOKEN = Family(
    Kind.HISTOGRAM,
    "gateway_time_to_first_token_seconds",
    "Seconds from a streamed request's arrival to the first token passed on to its client.",
    ("model",),
    FIRST_TOKENS,
)
DURATION = Family(
    Kind.HISTOGRAM,
    "gateway_request_duration_seconds",
    "Seconds from arrival to the last byte of the answer.",
    ("path", "model"),
    SECONDS,
)
OVERHEAD = Family(
    Kind.HISTOGRAM,
    "gateway_overhead_seconds",
    "Seconds from a request's arrival until a connection to a backend was first ready to take its bytes, less its "
    "waits in queues: what the gateway adds before. A body that comes slowly, and a new connection, are in it.",
    ("path",),
    OVERHEADS,
)
DISCONNECTS = Family(
    Kind.COUNTER, "gateway_client_disconnects", "Clients that left, by the phase they left in.", ("phase",)
)
