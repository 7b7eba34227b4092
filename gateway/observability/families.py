"""What is counted? Every metric family of the gateway, declared in one table."""

from dataclasses import dataclass
from enum import StrEnum

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 1800.0, 5400.0)
"""From a cache hit to MAX_REQUEST_SECS: a long agent turn must not end in +Inf."""
WAITS = (0.001, 0.005, 0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 1.5, 2.0, 5.0)
"""Around QUEUE_TIMEOUT_SECS, where a wait becomes a refusal."""
FIRST_TOKENS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 0.75, 1.0, 1.5, 2.5, 5.0, 10.0, 30.0, 120.0)
"""Fine around 2.5 s, the objective for 100 users."""


class Kind(StrEnum):
    """The three shapes of a family."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


@dataclass(frozen=True, slots=True, eq=False)
class Family:
    """One metric family; label values come from bounded sets only, so that strangers cannot add series.

    A family is equal to itself alone: a hash over its words would cost more than the count.
    """

    kind: Kind
    name: str
    help: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()

    @property
    def width(self) -> int:
        """Figures of one series: one, or a histogram's sum, its buckets and the one without a bound."""
        return len(self.buckets) + 2 if self.kind is Kind.HISTOGRAM else 1


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
RETRIES = Family(
    Kind.COUNTER, "gateway_upstream_retries", "Requests moved to another backend, by reason.", ("model", "reason")
)
BACKEND_SIGNALS = Family(
    Kind.COUNTER,
    "gateway_backend_signals",
    "Attempts that ended without an answer to the end, by what they say of the backend: `failure`, `back_pressure`, "
    "`draining`, or `neutral` where the client, the request or the gateway was at fault.",
    ("backend", "signal"),
)
FALLBACKS = Family(
    Kind.COUNTER,
    "gateway_fallbacks",
    "Requests that another group answered in their own's stead.",
    ("model", "fallback"),
)
DISCONNECTS = Family(
    Kind.COUNTER, "gateway_client_disconnects", "Clients that left, by the phase they left in.", ("phase",)
)
LOG_LINES_DROPPED = Family(
    Kind.COUNTER, "gateway_log_lines_dropped", "Log lines given up because the log's reader was too slow."
)

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
UPDATES_LOST = Family(
    Kind.COUNTER, "gateway_metric_updates_lost", "Updates of series for which a worker had no room left: 0 is right."
)
WORKERS = Family(
    Kind.GAUGE,
    "gateway_workers",
    "Worker processes: `starting`, `serving`, or `retiring`, which after a reload finish what they have.",
    ("state",),
)
RELOADS = Family(
    Kind.COUNTER,
    "gateway_reloads",
    "Reloads: `done`; `refused`, as the settings will not do; `failed`, as new workers did not come up.",
    ("outcome",),
)
BLOCKED = Family(
    Kind.COUNTER,
    "gateway_worker_blocked",
    "Times that a worker's event loop stood still for WORKER_BLOCKED_SECS; the log has the stack.",
)
BACKEND_STATE = Family(
    Kind.GAUGE,
    "gateway_backend_state",
    "1 for the state that the backend is in, 0 for the others: loading, healthy, busy, draining, down.",
    ("backend", "state"),
)
BACKEND_PROBE = Family(
    Kind.GAUGE,
    "gateway_backend_probe_seconds",
    "Seconds that the last probe's GET /health took; 0 when it was not answered.",
    ("backend",),
)
BACKEND_ENGINE = Family(
    Kind.GAUGE,
    "gateway_backend_engine_requests",
    "Requests in the backend's engine by its own word: `running`, or `waiting` for it; 0 when it does not say.",
    ("backend", "condition"),
)
BACKEND_DRIFT = Family(
    Kind.GAUGE,
    "gateway_backend_drift_requests",
    "Requests that the backend's engine counts and this gateway does not know of; below 0: the other way round. Both "
    "change meanwhile: what stays for minutes is a leak, or another client.",
    ("backend",),
)
BACKEND_CIRCUIT = Family(
    Kind.GAUGE,
    "gateway_backend_circuit",
    "1 for the standing that the backend's circuit is in, 0 for the others: closed, open, half_open.",
    ("backend", "standing"),
)
BACKEND_IN_FLIGHT = Family(
    Kind.GAUGE,
    "gateway_backend_in_flight",
    "Requests of this gateway that are at the backend; each has a seat there where MAX_INFLIGHT_PER_BACKEND is set.",
    ("backend",),
)
CIRCUIT_CHANGES = Family(
    Kind.COUNTER,
    "gateway_circuit_changes",
    "Changes of the backend's circuit, by the standing that it came to; the log's `circuit_changed` has the reason.",
    ("backend", "to"),
)
CONTROL_DEATHS = Family(
    Kind.COUNTER,
    "gateway_control_deaths",
    "Times that the control process ended unasked; workers go on meanwhile, and another one is started.",
)
DATABASE_UP = Family(
    Kind.GAUGE,
    "gateway_database_up",
    "1 while the database answers the control process, which asks several times a second; 0: keys and usage wait.",
)
KEYS_PUBLISHED = Family(
    Kind.COUNTER, "gateway_keys_published", "Times that changes of keys or organizations were handed to all workers."
)
USAGE_RECORDS = Family(
    Kind.COUNTER,
    "gateway_usage_records",
    "Usage records taken from the journal: `written` into the database; `spooled` into a file of DATA_PATH while it "
    "was away, to be written later; `lost`, as they could not be read or no database takes them.",
    ("fate",),
)
USAGE_LAG = Family(
    Kind.GAUGE,
    "gateway_usage_lag_seconds",
    "Age of the oldest usage record that is not in the database yet; 0 when all are.",
)
USAGE_SPOOL = Family(Kind.GAUGE, "gateway_usage_spool_bytes", "Bytes of usage records that wait for the database.")
USAGE_JOURNAL = Family(
    Kind.GAUGE, "gateway_usage_journal_records", "Usage records that workers have handed over and nobody took away yet."
)
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

CATALOGUE = (
    REQUESTS,
    TOKENS,
    IN_FLIGHT,
    QUEUED,
    SEATS_WAITING,
    QUEUE_WAIT,
    FIRST_TOKEN,
    DURATION,
    RETRIES,
    BACKEND_SIGNALS,
    FALLBACKS,
    DISCONNECTS,
    LOG_LINES_DROPPED,
    CACHE_REQUESTS,
    CACHE_BYTES_ADDED,
    CACHE_BYTES_DROPPED,
    CACHE_EVICTIONS,
    UPDATES_LOST,
    WORKERS,
    RELOADS,
    BLOCKED,
    BACKEND_STATE,
    BACKEND_PROBE,
    BACKEND_ENGINE,
    BACKEND_DRIFT,
    BACKEND_CIRCUIT,
    BACKEND_IN_FLIGHT,
    CIRCUIT_CHANGES,
    CONTROL_DEATHS,
    DATABASE_UP,
    KEYS_PUBLISHED,
    USAGE_RECORDS,
    USAGE_LAG,
    USAGE_SPOOL,
    USAGE_JOURNAL,
    HOSTS,
    LIMITS_SPLIT,
    LIMITS_NOT_SHARED,
    LIMITS_OUTAGES,
)
