"""How is the gateway itself? Its processes, what they share, what they write down, and what stands in front of them."""

from grafana_foundation_sdk.models import units

from monitoring.dashboards.promql import added, per_second, quantiles, worst
from monitoring.dashboards.table import Kind, Page, Panel, Query, Section, above, below, nothing_but

NOW = Section(
    "Now",
    (
        Panel(
            "Gateways scraped",
            "Gateway hosts or containers whose /metrics Prometheus reaches.",
            units.Short,
            (Query('sum(up{job="gateway"})'),),
            Kind.FIGURE,
            below(1, 1),
            alerts=("GatewayDown", "GatewayReplicaGone"),
        ),
        Panel(
            "Workers serving",
            "Worker processes that take requests.",
            units.Short,
            (Query(added("gateway_workers", where='state="serving"')),),
            Kind.FIGURE,
            below(1, 1),
            alerts=("WorkersMissing",),
        ),
        Panel(
            "Database",
            "1 while it answers. Without it workers go on with the keys they know, and usage waits in a file.",
            units.NoUnit,
            (Query("min(gateway_database_up)"),),
            Kind.FIGURE,
            below(1, 1),
            alerts=("DatabaseAway",),
        ),
        Panel(
            "Up since",
            "When the youngest supervisor began. A reload moves no supervisor.",
            units.DateTimeFromNow,
            (Query("max(gateway_start_time_seconds) * 1000"),),
            Kind.FIGURE,
        ),
        Panel(
            "Version",
            "What runs; more than one name is a host that was not updated.",
            units.NoUnit,
            (Query("count by (version, python) (gateway_build_info)", "{{version}} on {{python}}", instant=True),),
            Kind.FIGURE,
        ),
        Panel(
            "Settings",
            "A hash of the settings in force without secrets; more than one is a host with other settings.",
            units.NoUnit,
            (Query("count by (hash) (gateway_config_info == 1)", "{{hash}}", instant=True),),
            Kind.FIGURE,
        ),
        Panel(
            "Hosts",
            "Gateway hosts that share this database; 0: not known.",
            units.Short,
            (Query(worst("gateway_hosts")),),
            Kind.FIGURE,
        ),
        Panel(
            "Workers without the shared store",
            "Workers that do not reach the server of REDIS_URL: their host keeps to its share of each limit.",
            units.Short,
            (Query(added("gateway_limits_not_shared")),),
            Kind.FIGURE,
            nothing_but(1),
            alerts=("LimitsNotShared",),
        ),
        Panel(
            "Series without room",
            "Updates of metrics for which a worker had no room left within an hour: anything but 0 is a defect.",
            units.Short,
            (Query("sum(increase(gateway_metric_updates_lost_total[1h]))"),),
            Kind.FIGURE,
            nothing_but(1),
            alerts=("MetricUpdatesLost",),
        ),
        Panel(
            "Log lines lost",
            "Within an hour, because the log's reader was too slow.",
            units.Short,
            (Query("sum(increase(gateway_log_lines_dropped_total[1h]))"),),
            Kind.FIGURE,
            nothing_but(1),
            alerts=("LogLinesDropped",),
        ),
    ),
)

PROCESSES = Section(
    "Processes",
    (
        Panel(
            "Workers",
            "By what they do, and how many are to serve. `retiring` ones finish what they have after a reload.",
            units.Short,
            (
                Query(added("gateway_workers", "state"), "{{state}}"),
                Query(added("gateway_workers_configured"), "GATEWAY_WORKERS"),
            ),
            alerts=("WorkersMissing",),
        ),
        Panel(
            "Restarts, reloads and blocked loops",
            "Within a quarter of an hour. A loop that stood still for WORKER_BLOCKED_SECS has its stack in the log.",
            units.Short,
            (
                Query("sum by (reason) (increase(gateway_worker_restarts_total[15m]))", "worker {{reason}}"),
                Query("sum(increase(gateway_control_deaths_total[15m]))", "control process died"),
                Query("sum by (outcome) (increase(gateway_reloads_total[15m]))", "reload {{outcome}}"),
                Query("sum(increase(gateway_worker_blocked_total[15m]))", "loop blocked"),
            ),
            alerts=("WorkersDying", "WorkerBlocked", "ControlProcessDying"),
        ),
        Panel(
            "Event loop's lag",
            "By how much a worker's loop was late for its beat, once a second: so long every request there waits.",
            units.Seconds,
            quantiles("gateway_event_loop_lag_seconds"),
            thresholds=above(0.05, 0.1),
            alerts=("EventLoopLag",),
        ),
        Panel(
            "The gateway's own share of a request",
            "From arrival to the request's bytes at the backend's connection, without the waits in queues, by path.",
            units.Seconds,
            quantiles("gateway_overhead_seconds", "path", wanted=(0.5, 0.99)),
        ),
        Panel(
            "CPU",
            "Seconds a second, so that 1 is a whole core, by kind of process.",
            units.NoUnit,
            (Query(per_second("gateway_process_cpu_seconds_total", "process"), "{{process}}"),),
            Kind.STACKED,
        ),
        Panel(
            "Memory",
            "Resident bytes by kind of process; pages that processes share count in each.",
            units.BytesIEC,
            (Query(added("gateway_process_resident_bytes", "process"), "{{process}}"),),
            Kind.STACKED,
        ),
        Panel(
            "Connections",
            "Open ones to clients, and busy and idle ones to the backends.",
            units.Short,
            (Query(added("gateway_open_connections", "side"), "{{side}}"),),
        ),
        Panel(
            "Slots held and requests in flight",
            "By the store's word and by the workers' own. They differ for moments; what stays is a slot that leaked.",
            units.Short,
            (
                Query(added("gateway_slots_held"), "held in the store"),
                Query(added("gateway_in_flight_requests"), "in flight"),
            ),
        ),
    ),
)

STORES = Section(
    "Stores",
    (
        Panel(
            "The limits' store",
            "How long a decision takes, by what it is for: the 99th percentile of a sample of 1 in 31.",
            units.Seconds,
            quantiles("gateway_store_seconds", "operation", wanted=(0.99,)),
            thresholds=above(0.005, 0.05),
            alerts=("StoreSlow",),
        ),
        Panel(
            "Failures of the stores",
            "Decisions that could not be made, statements that failed, and servers of REDIS_URL lost, a minute.",
            units.Short,
            (
                Query(f"60 * {per_second('gateway_store_errors_total', 'operation')}", "store: {{operation}}"),
                Query(f"60 * {per_second('gateway_database_errors_total', 'operation')}", "database: {{operation}}"),
                Query(f"60 * {per_second('gateway_limits_outages_total')}", "REDIS_URL lost"),
            ),
            alerts=("StoreDegraded",),
        ),
        Panel(
            "The database",
            "How long the control process waits for it, by what for: the 99th percentile. No request waits with it.",
            units.Seconds,
            quantiles("gateway_database_seconds", "operation", wanted=(0.99,)),
            alerts=("DatabaseAway",),
        ),
        Panel(
            "Usage that is not in the database yet",
            "Age of the oldest record. It rises while the database is away.",
            units.Seconds,
            (Query(worst("gateway_usage_lag_seconds"), "oldest"),),
            thresholds=above(60, 300),
            alerts=("UsageLag",),
        ),
        Panel(
            "Usage records",
            "A minute: written into the database, spooled into a file of DATA_PATH, or lost.",
            units.Short,
            (Query(f"60 * {per_second('gateway_usage_records_total', 'fate')}", "{{fate}}"),),
            alerts=("UsageLost",),
        ),
        Panel(
            "Usage that waits",
            "Bytes in the file that stands in for the database, and records that nobody has taken from the journal.",
            units.Short,
            (
                Query(worst("gateway_usage_spool_bytes"), "bytes in the file"),
                Query(worst("gateway_usage_journal_records"), "records in the journal"),
            ),
            alerts=("UsageLag",),
        ),
        Panel(
            "Response cache",
            "Bytes of answers that are held.",
            units.BytesIEC,
            (Query("sum(gateway_cache_added_bytes_total) - sum(gateway_cache_dropped_bytes_total)", "held"),),
        ),
        Panel(
            "Answers that left the cache",
            "`expired`: their time was over. `room`: others needed it; much of that asks for a larger CACHE_MAX_BYTES.",
            units.OpsPerSecond,
            (Query(per_second("gateway_cache_evictions_total", "reason"), "{{reason}}"),),
            Kind.STACKED,
        ),
        Panel(
            "Changes of keys published",
            "An hour: how often changes of keys or organizations were handed to all workers.",
            units.Short,
            (Query("sum(increase(gateway_keys_published_total[1h]))", "published"),),
        ),
    ),
)

RECORDS = Section(
    "What is written down",
    (
        Panel(
            "Log lines dropped",
            "A minute, because the log's reader was too slow. No request waits for the log.",
            units.Short,
            (Query(f"60 * {per_second('gateway_log_lines_dropped_total')}", "dropped"),),
            thresholds=nothing_but(1),
            alerts=("LogLinesDropped",),
        ),
        Panel(
            "Audit trail",
            "Records a second by kind, and those that were given up (AUDIT_LOG).",
            units.OpsPerSecond,
            (
                Query(per_second("gateway_audit_records_total", "kind"), "{{kind}}"),
                Query(per_second("gateway_audit_records_dropped_total"), "dropped"),
            ),
            alerts=("AuditRecordsDropped",),
        ),
        Panel(
            "Traces",
            "Spans a second that the collector took, and those that were given up (OTEL_TRACES_ENABLED).",
            units.OpsPerSecond,
            (
                Query(per_second("gateway_traces_exported_total"), "exported"),
                Query(per_second("gateway_traces_dropped_total"), "dropped"),
            ),
            alerts=("TracesDropped",),
        ),
    ),
)

GATEWAY = Page(
    "gateway",
    "gateway-gateway",
    "Gateway: the gateway itself",
    "How its processes are, what they share, and what they write down.",
    (),
    (NOW, PROCESSES, STORES, RECORDS),
)
