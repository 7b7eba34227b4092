"""How is the service, seen from its clients? Traffic, errors, latency, saturation, and tokens."""

from grafana_foundation_sdk.models import units

from monitoring.dashboards.promql import added, per_second, quantile, quantiles, share
from monitoring.dashboards.table import Kind, Page, Panel, Query, Section, Variable, above, below, nothing_but

MODELS = 'model=~"$model"'
RECORDED = f'{MODELS}, model!="all models"'
"""Of the records that have a row for the sum of all models, too."""


def chosen_share(part: str, whole: str) -> str:
    """What share one record is of another, of the models that are chosen, taken together."""
    return share(added(part, where=RECORDED), added(whole, where=RECORDED))


NOW = Section(
    "Now",
    (
        Panel(
            "Requests a second",
            "Requests that ended, whatever came of them.",
            units.RequestsPerSecond,
            (Query(per_second("gateway_requests_total", where=MODELS)),),
            Kind.FIGURE,
        ),
        Panel(
            "Good requests",
            "The share of requests that the service did not fail, of 5 minutes, as the availability objective counts.",
            units.PercentUnit,
            (Query(f"1 - {chosen_share('gateway:bad_requests:rate5m', 'gateway:valid_requests:rate5m')}"),),
            Kind.FIGURE,
            below(0.999, 0.995),
            alerts=("AvailabilityBurnFast",),
            top=1,
        ),
        Panel(
            "First token, p99",
            "99 of 100 streams had their first token within this time. The objective is 2.5 s.",
            units.Seconds,
            (Query(quantile("gateway_time_to_first_token_seconds", 0.99, where=MODELS)),),
            Kind.FIGURE,
            above(1.5, 2.5),
            alerts=("TTFTBurnFast",),
        ),
        Panel(
            "In flight",
            "Requests that hold a slot.",
            units.Short,
            (Query(added("gateway_in_flight_requests")),),
            Kind.FIGURE,
        ),
        Panel(
            "Waiting",
            "Requests that wait for a slot, or for a seat at a backend.",
            units.Short,
            (Query("sum(gateway_queued_requests) + (sum(gateway_seats_waiting) or vector(0))"),),
            Kind.FIGURE,
            above(50, 200),
            alerts=("QueueSaturated",),
        ),
        Panel(
            "Alerts firing",
            "Alerts of monitoring/prometheus/rules that fire now.",
            units.Short,
            (Query('count(ALERTS{alertstate="firing"}) or vector(0)'),),
            Kind.FIGURE,
            nothing_but(1),
        ),
    ),
)

TRAFFIC = Section(
    "Traffic and errors",
    (
        Panel(
            "Requests by path",
            "Requests that ended, by the path of the allow-list; `other` is every path that there is not.",
            units.RequestsPerSecond,
            (Query(per_second("gateway_requests_total", "path", where=MODELS), "{{path}}"),),
            Kind.STACKED,
        ),
        Panel(
            "Answers by status",
            "499: the client left before its answer began. A stream that broke off has status 200: see the outcomes.",
            units.RequestsPerSecond,
            (Query(per_second("gateway_requests_total", "status", where=MODELS), "{{status}}"),),
            Kind.STACKED,
        ),
        Panel(
            "Outcomes other than ok",
            "What came of requests that were not answered to the end, in the access log's word `outcome`.",
            units.RequestsPerSecond,
            (Query(per_second("gateway_requests_total", "outcome", where=f'{MODELS}, outcome!="ok"'), "{{outcome}}"),),
            Kind.STACKED,
            alerts=("AvailabilityBurnSlow",),
        ),
        Panel(
            "Refusals",
            "Requests that a limit, a quota, a queue or the fleet refused, by what was in the way.",
            units.RequestsPerSecond,
            (Query(per_second("gateway_refusals_total", "reason"), "{{reason}}"),),
            Kind.STACKED,
        ),
        Panel(
            "Streams by their ending",
            "How streams ended; whatever is not `done` was cut by the client, the backend or a cap.",
            units.RequestsPerSecond,
            (Query(per_second("gateway_stream_endings_total", "ending", where=MODELS), "{{ending}}"),),
            Kind.STACKED,
        ),
        Panel(
            "Clients that left",
            "Clients that closed their connection before the answer's end, by the phase that their request was in.",
            units.RequestsPerSecond,
            (Query(per_second("gateway_client_disconnects_total", "phase"), "{{phase}}"),),
            Kind.STACKED,
            alerts=("ClientsLeaving",),
        ),
    ),
)

LATENCY = Section(
    "Latency",
    (
        Panel(
            "Time to first token",
            "From a streamed request's arrival to the first token passed on. The objective: 99 % within 2.5 s.",
            units.Seconds,
            quantiles("gateway_time_to_first_token_seconds", where=MODELS),
            thresholds=above(1.5, 2.5),
            alerts=("TTFTBurnFast",),
        ),
        Panel(
            "Time between tokens",
            "Between two pieces of a stream that carry tokens, as they were passed on.",
            units.Seconds,
            quantiles("gateway_inter_token_seconds", where=MODELS),
        ),
        Panel(
            "Queue wait",
            "How long requests waited for their slot, and for their seat at a backend.",
            units.Seconds,
            quantiles("gateway_queue_wait_seconds", where=MODELS),
            thresholds=above(0.5, 1.5),
            alerts=("QueueSaturated",),
        ),
        Panel(
            "Time to the last byte",
            "From arrival to the end of the answer, by path: the 95th percentile. A long answer is no failure.",
            units.Seconds,
            quantiles("gateway_request_duration_seconds", "path", where=MODELS, wanted=(0.95,)),
        ),
        Panel(
            "The gateway's own share",
            "From arrival to the request's bytes at the backend's connection, without the waits in queues.",
            units.Seconds,
            quantiles("gateway_overhead_seconds"),
        ),
        Panel(
            "Error budget's burn",
            "How many times faster than 30 days allow the budget of each objective is spent; 14.4 for an hour pages.",
            units.NoUnit,
            (
                Query(
                    f"{chosen_share('gateway:bad_requests:rate1h', 'gateway:valid_requests:rate1h')} / 0.005",
                    "availability, 1 h",
                ),
                Query(
                    f"{chosen_share('gateway:slow_first_tokens:rate1h', 'gateway:first_tokens:rate1h')} / 0.01",
                    "first token, 1 h",
                ),
            ),
            thresholds=above(6, 14.4),
            alerts=("AvailabilityBurnSlow", "TTFTBurnSlow"),
        ),
    ),
)

TOKENS = Section(
    "Tokens and what is saved",
    (
        Panel(
            "Tokens a second",
            "As the backends state them in `usage`, when a request ends.",
            units.CountsPerSecond,
            (Query(per_second("gateway_tokens_total", "model", "direction", where=MODELS), "{{model}} {{direction}}"),),
        ),
        Panel(
            "Tokens a second of one stream",
            "Completion tokens over the seconds from the first one to the end: what one reader sees.",
            units.CountsPerSecond,
            quantiles("gateway_output_tokens_per_second", where=MODELS, wanted=(0.05, 0.5, 0.95)),
        ),
        Panel(
            "Answers given again",
            "Requests whose answer may be shared: from the cache, by an identical request's run, or by their own.",
            units.RequestsPerSecond,
            (Query(per_second("gateway_cache_requests_total", "result"), "{{result}}"),),
            Kind.STACKED,
        ),
    ),
)

AROUND = Section(
    "What stands around",
    (
        Panel(
            "Certificate ends",
            "In how long the certificate ends that each address of TLS_PROBE_ADDRESSES really serves.",
            units.DurationSeconds,
            (
                Query(
                    "min by (address) (gateway_tls_certificate_expiry_timestamp_seconds) - time()",
                    "{{address}}",
                ),
            ),
            thresholds=below(14 * 86400, 3 * 86400),
            alerts=("CertificateExpiring", "CertificateNotSeen"),
        ),
        Panel(
            "nginx",
            "Its connections by what they do, and requests a second.",
            units.Short,
            (
                Query(added("nginx_connections_active"), "active"),
                Query(added("nginx_connections_waiting"), "idle"),
                Query(per_second("nginx_http_requests_total"), "requests a second"),
            ),
            alerts=("NginxDown", "NginxExporterGone"),
        ),
        Panel(
            "Targets reached",
            "How many of each job's targets Prometheus reaches, and 1 while TLS is answered; what falls is down.",
            units.Short,
            (
                Query(added("up", "job"), "{{job}}"),
                Query("min by (address) (gateway_tls_probe_up)", "TLS at {{address}}"),
            ),
            alerts=("TargetDown", "CertificateNotSeen"),
        ),
        Panel(
            "Messages that were not delivered",
            "Within a quarter of an hour, by where Alertmanager should have sent them.",
            units.Short,
            (
                Query(
                    "sum by (integration) (increase(alertmanager_notifications_failed_total[15m]))",
                    "{{integration}}",
                ),
            ),
            thresholds=nothing_but(1),
            alerts=("NotificationsFailing",),
        ),
    ),
)

OVERVIEW = Page(
    "overview",
    "gateway-overview",
    "Gateway: overview",
    "How the service is, seen from its clients: traffic, errors, latency, saturation, tokens.",
    (Variable("model", "gateway_requests_total", "model"),),
    (NOW, TRAFFIC, LATENCY, TOKENS, AROUND),
)
