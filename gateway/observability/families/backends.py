"""How are the backends, and what was made of their failures?"""

from gateway.observability.families.family import Family, Kind

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
BACKEND_LIMIT = Family(
    Kind.GAUGE,
    "gateway_backend_in_flight_limit",
    "Requests that may be at the backend at a time, MAX_INFLIGHT_PER_BACKEND; there is none where that is not set. "
    "Over all hosts that have the backend in common (BACKENDS_SHARED). Those beyond it are in gateway_seats_waiting.",
    ("backend",),
)
CIRCUIT_CHANGES = Family(
    Kind.COUNTER,
    "gateway_circuit_changes",
    "Changes of the backend's circuit, by the standing that it came to; the log's `circuit_changed` has the reason.",
    ("backend", "to"),
)
