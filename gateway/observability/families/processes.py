"""How are the gateway's own processes?"""

from gateway.observability.families.family import Family, Kind

LAGS = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0)
"""From the clock's own millisecond to WORKER_BLOCKED_SECS and what lies beyond it."""

LOG_LINES_DROPPED = Family(
    Kind.COUNTER, "gateway_log_lines_dropped", "Log lines given up because the log's reader was too slow."
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
WORKERS_CONFIGURED = Family(
    Kind.GAUGE,
    "gateway_workers_configured",
    "Worker processes that are to serve, by the GATEWAY_WORKERS in force: fewer that do are missing. A reload's number "
    "counts from the moment when all of its workers serve.",
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
WORKER_RESTARTS = Family(
    Kind.COUNTER,
    "gateway_worker_restarts",
    "Workers started in the stead of one that ended unasked: `exited` by itself, or was `killed` by a signal. One that "
    "is merely silent is never replaced: gateway_worker_blocked_total has it.",
    ("reason",),
)
LOOP_LAG = Family(
    Kind.HISTOGRAM,
    "gateway_event_loop_lag_seconds",
    "Seconds by which a worker's event loop was late for its beat, once a second; so long anything waits there.",
    (),
    LAGS,
)
CONNECTIONS = Family(
    Kind.GAUGE,
    "gateway_open_connections",
    "Open connections of all workers: `client`; to backends, `upstream_busy` (one that is being made among them) or "
    "`upstream_idle`. Taken once a second.",
    ("side",),
)
BUILD = Family(
    Kind.GAUGE,
    "gateway_build_info",
    "1 for the version of the gateway and of Python that the supervisor runs; a reload may bring other workers.",
    ("version", "python"),
)
CONFIG = Family(
    Kind.GAUGE,
    "gateway_config_info",
    "1 for the hash of the settings in force, secrets left out: the same where all the settings are. While workers "
    "retire, their settings' is there at 0.",
    ("hash",),
)
START_TIME = Family(
    Kind.GAUGE,
    "gateway_start_time_seconds",
    "When the supervisor began, in seconds since 1970 UTC.",
)
PROCESS_CPU = Family(
    Kind.COUNTER,
    "gateway_process_cpu_seconds",
    "CPU seconds, user and system, of all processes of a kind: `supervisor`, `worker`, `control`. What one uses in the "
    "second before its death is lost.",
    ("process",),
)
PROCESS_RESIDENT = Family(
    Kind.GAUGE,
    "gateway_process_resident_bytes",
    "Resident memory of all living processes of a kind. Pages that processes share count in each.",
    ("process",),
)
CERTIFICATE_EXPIRY = Family(
    Kind.GAUGE,
    "gateway_tls_certificate_expiry_timestamp_seconds",
    "When the certificate ends that an address of TLS_PROBE_ADDRESSES served last, in seconds since 1970 UTC.",
    ("address",),
)
TLS_PROBE_UP = Family(
    Kind.GAUGE,
    "gateway_tls_probe_up",
    "1 while an address of TLS_PROBE_ADDRESSES answers with a certificate, whoever issued it; 0: the last try failed.",
    ("address",),
)
CONTROL_DEATHS = Family(
    Kind.COUNTER,
    "gateway_control_deaths",
    "Times that the control process ended unasked; workers go on meanwhile, and another one is started.",
)
AUDIT_RECORDS = Family(
    Kind.COUNTER,
    "gateway_audit_records",
    "Records written to the audit trail, by kind; see AUDIT_LOG.",
    ("kind",),
)
AUDIT_RECORDS_DROPPED = Family(
    Kind.COUNTER,
    "gateway_audit_records_dropped",
    "Records that the audit trail gave up: its disk took none, or an organization had its share waiting; 0 is right.",
)
TRACES_EXPORTED = Family(
    Kind.COUNTER, "gateway_traces_exported", "Spans that the collector of OTEL_EXPORTER_OTLP_ENDPOINT has taken."
)
TRACES_DROPPED = Family(
    Kind.COUNTER,
    "gateway_traces_dropped",
    "Spans that were given up, as the collector did not take them or too many waited for it.",
)
