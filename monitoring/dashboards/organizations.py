"""Who uses how much, and who is held back? Organizations beside their limits and quotas."""

from grafana_foundation_sdk.models import units

from monitoring.dashboards.promql import added, per_second, quantiles, share, worst
from monitoring.dashboards.table import Kind, Page, Panel, Query, Section, Variable, above, nothing_but

ONES = 'organization=~"$organization"'

SLOTS = Section(
    "Slots and queues",
    (
        Panel(
            "In flight",
            "Slots that each holds; METRICS_ORGANIZATIONS of them by name, the others summed as `other`.",
            units.Short,
            (Query(worst("gateway_organization_in_flight", "organization", where=ONES), "{{organization}}"),),
            Kind.STACKED,
        ),
        Panel(
            "Waiting",
            "Requests that wait for one of their organization's slots.",
            units.Short,
            (Query(worst("gateway_organization_queued", "organization", where=ONES), "{{organization}}"),),
            Kind.STACKED,
            alerts=("QueueSaturated",),
        ),
        Panel(
            "Slots in use",
            "The share of its slots that an organization has taken; at 100 % its next request waits.",
            units.PercentUnit,
            (
                Query(
                    "max by (organization) (gateway_organization_in_flight{"
                    + ONES
                    + '} / on (instance, organization) gateway_organization_limit{limit="in_flight"})',
                    "{{organization}}",
                ),
            ),
            thresholds=above(0.8, 1),
            alerts=("QueueSaturated",),
        ),
        Panel(
            "Queue wait",
            "How long requests of all organizations waited for their slot, by the model's group.",
            units.Seconds,
            quantiles("gateway_queue_wait_seconds", "model", wanted=(0.5, 0.99)),
            thresholds=above(0.5, 1.5),
            alerts=("QueueSaturated",),
        ),
        Panel(
            "Requests queued",
            "All requests that wait for a slot, and those that have one and wait for a seat at a backend.",
            units.Short,
            (
                Query(added("gateway_queued_requests"), "for a slot"),
                Query(added("gateway_seats_waiting", "group"), "for a seat at {{group}}"),
            ),
            Kind.STACKED,
            alerts=("QueueSaturated",),
        ),
        Panel(
            "Limits",
            "What is in force for each organization: its own limits, or the settings' defaults.",
            units.Short,
            (
                Query(
                    worst("gateway_organization_limit", "organization", "limit", where=ONES),
                    "{{organization}} {{limit}}",
                ),
            ),
        ),
    ),
)

QUOTAS = Section(
    "Quotas and refusals",
    (
        Panel(
            "Quota used",
            "The share of each daily and monthly quota that is used; at 100 % requests get 429 until it renews.",
            units.PercentUnit,
            (
                Query(
                    worst("gateway_organization_quota_used_ratio", "organization", "quota", where=ONES),
                    "{{organization}} {{quota}}",
                ),
            ),
            thresholds=above(0.8, 0.9),
            alerts=("QuotaNearlyGone",),
        ),
        Panel(
            "Refusals",
            "Requests that a limit, a quota, a queue or the fleet refused, by what was in the way.",
            units.RequestsPerSecond,
            (Query(per_second("gateway_refusals_total", "reason"), "{{reason}}"),),
            Kind.STACKED,
        ),
        Panel(
            "Share of requests refused with 429",
            "Of all requests those that got 429: a client's own limit.",
            units.PercentUnit,
            (
                Query(
                    share(
                        per_second("gateway_requests_total", where='status="429"'), per_second("gateway_requests_total")
                    ),
                    "429",
                ),
            ),
            top=1,
        ),
        Panel(
            "Limits split",
            "1 while several hosts share the database and no REDIS_URL: each then grants whole limits and quotas.",
            units.NoUnit,
            (Query(worst("gateway_limits_split"), "split"),),
            thresholds=nothing_but(1),
            alerts=("LimitsSplit",),
        ),
    ),
)

ORGANIZATIONS = Page(
    "organizations",
    "gateway-organizations",
    "Gateway: organizations",
    "Who uses how much of which limit and quota, who waits, and who is refused.",
    (Variable("organization", "gateway_organization_in_flight", "organization"),),
    (SLOTS, QUOTAS),
)
