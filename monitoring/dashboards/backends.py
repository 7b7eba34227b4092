"""How are the vLLM servers and their cards? Their health as the gateway sees it, their own figures, and DCGM's."""

from grafana_foundation_sdk.models import units

from monitoring.dashboards.promql import added, coded, per_second, quantiles, share, worst
from monitoring.dashboards.table import Colour, Kind, Page, Panel, Query, Section, Variable, above, below, nothing_but

ONES = 'backend=~"$backend"'
SERVERS = f'job="vllm", {ONES}'
"""monitoring/prometheus/prometheus.yml gives a server the name that the gateway has for it."""
DRIFT = (
    f"max by (backend) (sum by (instance, backend) (gateway_backend_engine_requests{{{ONES}}}))"
    f" - sum by (backend) (gateway_backend_in_flight{{{ONES}}})"
)
"""What an engine counts, less what all gateways together have there."""
STATES = (
    ("healthy", Colour.GOOD),
    ("busy", Colour.PLAIN),
    ("loading", Colour.LOOK),
    ("draining", Colour.LOOK),
    ("down", Colour.BAD),
)
STANDINGS = (("closed", Colour.GOOD), ("half_open", Colour.LOOK), ("open", Colour.BAD))

HEALTH = Section(
    "Health, as the gateway sees it",
    (
        Panel(
            "State",
            "What the prober makes of each server; `/health/detailed` has the reason, and what to do.",
            units.NoUnit,
            (
                Query(
                    coded("gateway_backend_state", "state", [word for word, _ in STATES], "backend", where=ONES),
                    "{{backend}}",
                ),
            ),
            Kind.STATES,
            alerts=("BackendDown",),
            states=STATES,
        ),
        Panel(
            "Circuit",
            "Open: requests failed there, and it is left alone for a while. Half open: one request tries it.",
            units.NoUnit,
            (
                Query(
                    coded(
                        "gateway_backend_circuit", "standing", [word for word, _ in STANDINGS], "backend", where=ONES
                    ),
                    "{{backend}}",
                ),
            ),
            Kind.STATES,
            alerts=("CircuitOpen",),
            states=STANDINGS,
        ),
        Panel(
            "In flight and limit",
            "Requests of ours that are at the server, and how many may be, where MAX_INFLIGHT_PER_BACKEND is set.",
            units.Short,
            (
                Query(added("gateway_backend_in_flight", "backend", where=ONES), "{{backend}}"),
                Query(worst("gateway_backend_in_flight_limit", "backend", where=ONES), "{{backend}} limit"),
            ),
        ),
        Panel(
            "Waiting for a seat",
            "Requests that wait as all servers of their group have MAX_INFLIGHT_PER_BACKEND, by group.",
            units.Short,
            (Query(added("gateway_seats_waiting", "group"), "{{group}}"),),
            Kind.STACKED,
            alerts=("QueueSaturated",),
        ),
        Panel(
            "Last probe",
            "How long GET /health took; 0 when it was not answered.",
            units.Seconds,
            (Query(worst("gateway_backend_probe_seconds", "backend", where=ONES), "{{backend}}"),),
            thresholds=above(1, 5),
        ),
        Panel(
            "Attempts that failed",
            "By what they say of the server; `neutral`: the client, the request or the gateway was at fault.",
            units.RequestsPerSecond,
            (
                Query(
                    per_second("gateway_backend_signals_total", "backend", "signal", where=ONES),
                    "{{backend}} {{signal}}",
                ),
            ),
            alerts=("CircuitOpen",),
        ),
        Panel(
            "Engine's requests beyond ours",
            "What the engine counts and no gateway knows of. What stays is a leak, or another client.",
            units.Short,
            (
                Query(DRIFT, "{{backend}}"),
                Query(f"gateway_backend_drift_requests{{{ONES}}}", "{{backend}} as {{instance}} sees it"),
            ),
            alerts=("BackendDrift",),
        ),
        Panel(
            "Changes of circuits",
            "How often a circuit came to each standing, within a quarter of an hour.",
            units.Short,
            (
                Query(
                    f"sum by (backend, to) (increase(gateway_circuit_changes_total{{{ONES}}}[15m]))",
                    "{{backend}} {{to}}",
                ),
            ),
            alerts=("CircuitOpen",),
        ),
        Panel(
            "Retries and fallbacks",
            "Requests moved to another server before they ran, and those that another group answered.",
            units.RequestsPerSecond,
            (
                Query(per_second("gateway_upstream_retries_total", "model", "reason"), "{{model}}: {{reason}}"),
                Query(per_second("gateway_fallbacks_total", "model", "fallback"), "{{model}} to {{fallback}}"),
            ),
        ),
        Panel(
            "Retry budget left",
            "Of the worker that has least; at 0 a refusal that a server states goes to the client.",
            units.PercentUnit,
            (Query("min(gateway_retry_budget_ratio)", "left"),),
            thresholds=below(0.5, 0.1),
            alerts=("RetryBudgetGone",),
            top=1,
        ),
    ),
)

ENGINES = Section(
    "vLLM",
    (
        Panel(
            "Running and waiting",
            "Requests in the engine's batch, and those that wait for it.",
            units.Short,
            (
                Query(added("vllm:num_requests_running", "backend", where=SERVERS), "{{backend}} running"),
                Query(added("vllm:num_requests_waiting", "backend", where=SERVERS), "{{backend}} waiting"),
            ),
        ),
        Panel(
            "KV cache in use",
            "Near 100 % requests wait, or are preempted and begin again.",
            units.PercentUnit,
            (Query(worst("vllm:kv_cache_usage_perc", "backend", where=SERVERS), "{{backend}}"),),
            thresholds=above(0.85, 0.95),
            alerts=("KVCacheFull",),
            top=1,
        ),
        Panel(
            "Prefix cache hits",
            "The share of prompt tokens that the engine had computed before.",
            units.PercentUnit,
            (
                Query(
                    share(
                        per_second("vllm:prefix_cache_hits_total", "backend", where=SERVERS),
                        per_second("vllm:prefix_cache_queries_total", "backend", where=SERVERS),
                    ),
                    "{{backend}}",
                ),
            ),
            top=1,
        ),
        Panel(
            "Tokens a second",
            "Prompt tokens read and tokens made by the engine, whoever asked.",
            units.CountsPerSecond,
            (
                Query(per_second("vllm:prompt_tokens_total", "backend", where=SERVERS), "{{backend}} prompt"),
                Query(per_second("vllm:generation_tokens_total", "backend", where=SERVERS), "{{backend}} made"),
            ),
        ),
        Panel(
            "The engine's time to first token",
            "Beside the gateway's own: what is more there was spent in queues, or on the way.",
            units.Seconds,
            quantiles("vllm:time_to_first_token_seconds", "backend", where=SERVERS, wanted=(0.5, 0.99)),
            thresholds=above(1.5, 2.5),
            alerts=("TTFTBurnFast",),
        ),
        Panel(
            "The engine's time between tokens",
            "Rises with the number of requests in a batch.",
            units.Seconds,
            quantiles("vllm:inter_token_latency_seconds", "backend", where=SERVERS, wanted=(0.5, 0.99)),
        ),
        Panel(
            "Preemptions and refusals",
            "Requests whose cache was taken away, and those that the engine's own queue did not take.",
            units.RequestsPerSecond,
            (
                Query(per_second("vllm:num_preemptions_total", "backend", where=SERVERS), "{{backend}} preempted"),
                Query(per_second("vllm:admission_rejections_total", "backend", where=SERVERS), "{{backend}} refused"),
            ),
        ),
        Panel(
            "Engines by the gateway's prober",
            "Running and waiting requests as each server said to the last probe.",
            units.Short,
            (
                Query(
                    worst("gateway_backend_engine_requests", "backend", "condition", where=ONES),
                    "{{backend}} {{condition}}",
                ),
            ),
        ),
        Panel(
            "Servers that are scraped",
            "1 while Prometheus reaches a server's /metrics.",
            units.NoUnit,
            (Query(f"up{{{SERVERS}}}", "{{backend}}"),),
            thresholds=below(1, 1),
            alerts=("BackendDown",),
            top=1,
        ),
    ),
)

CARDS = Section(
    "GPUs",
    (
        Panel(
            "Utilization",
            "The share of time in which the card had work, of whatever width.",
            units.Percent,
            (Query(worst("DCGM_FI_DEV_GPU_UTIL", "gpu"), "GPU {{gpu}}"),),
            top=100,
        ),
        Panel(
            "Memory in use",
            "MiB of the card's memory; vLLM takes its share at its start and keeps it.",
            units.Mebibytes,
            (Query(worst("DCGM_FI_DEV_FB_USED", "gpu"), "GPU {{gpu}}"),),
        ),
        Panel(
            "Temperature",
            "An L4 slows down some degrees below 90.",
            units.Celsius,
            (Query(worst("DCGM_FI_DEV_GPU_TEMP", "gpu"), "GPU {{gpu}}"),),
            thresholds=above(80, 85),
            alerts=("GPUHot",),
        ),
        Panel(
            "Power",
            "An L4 takes 72 W at most, and slows down there.",
            units.Watt,
            (Query(worst("DCGM_FI_DEV_POWER_USAGE", "gpu"), "GPU {{gpu}}"),),
        ),
        Panel(
            "XID errors",
            "The number of the last error that the driver reported; 0 for none.",
            units.NoUnit,
            (Query(worst("DCGM_FI_DEV_XID_ERRORS", "gpu"), "GPU {{gpu}}"),),
            thresholds=nothing_but(1),
            alerts=("GPUXid",),
        ),
        Panel(
            "Clock",
            "Of the multiprocessors; what falls under load is held back by heat or power.",
            units.Hertz,
            (Query(f"{worst('DCGM_FI_DEV_SM_CLOCK', 'gpu')} * 1e6", "GPU {{gpu}}"),),
        ),
    ),
)

BACKENDS = Page(
    "backends",
    "gateway-backends",
    "Gateway: backends and GPUs",
    "How the vLLM servers are: as the gateway sees them, by their own figures, and their cards.",
    (Variable("backend", "gateway_backend_state", "backend"),),
    (HEALTH, ENGINES, CARDS),
)
