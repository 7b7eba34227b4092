"""What does a configuration amount to? Limits, models, time-outs in words, and the table of all settings."""

from collections.abc import Mapping
from pathlib import Path

from pydantic.fields import FieldInfo

from gateway.backends.roster import build_roster
from gateway.cli.env_file import written
from gateway.core.fleet import BackendGroup
from gateway.limits.token_bucket import failed_auth_bucket, request_bucket
from gateway.routing.choices import Balancing
from gateway.settings import ROOMS, Settings, is_secret

MASKED = "********"


def table(settings: Settings) -> list[str]:
    """Every setting and its value; secrets are masked."""
    width = max(len(name) for name in Settings.model_fields)
    lines: list[str] = []
    for room in ROOMS:
        lines += ["", (room.__doc__ or "").splitlines()[0]]
        for name, field in room.model_fields.items():
            value = getattr(settings, name)
            mark = " " if value == _default(field) else "*"
            text = (MASKED if value else "") if is_secret(name) else written(value)
            lines.append(f" {mark} {name.upper():<{width}}  {text}")
    return [*lines[1:], "", " * differs from the default"]


def _default(field: FieldInfo) -> object:
    """A setting's default as it is in force: a folder's is taken from here."""
    default = field.get_default(call_default_factory=True, validated_data={})
    return default.absolute() if isinstance(default, Path) else default


def limits(settings: Settings) -> list[str]:
    """What one organization may do, in words."""
    bucket = request_bucket(settings)
    rate = (
        f"{bucket.rate:g} requests a second on average and {bucket.capacity:g} at once after a pause"
        if bucket
        else "requests at any rate"
    )
    failures = failed_auth_bucket(settings)
    wrong = f"; after {failures.capacity:g} in a row, and more than {failures.rate:g} a second, 429" if failures else ""
    workers = settings.gateway_workers
    truth = f"over all {workers} workers together" if workers > 1 else "in its one worker"
    return [
        f"Limits of one organization (a client's address; IPv6 by /64), {truth}:",
        f"  It may start {rate}.",
        "  Beyond that it is answered with 429, which says when to come back.",
        f"  {settings.max_inflight_per_ip} of its requests run at a time, and {settings.max_queued_per_ip} more wait,",
        f"  first come first served, for {settings.queue_timeout_secs:g} s at the most; then 429.",
        f"  A body may have {settings.max_request_body_bytes:,} bytes; beyond that it is answered with 413.",
        f"  A wrong key is answered with 401{wrong}. A right one always passes.",
    ]


def quotas(settings: Settings) -> list[str]:
    """What one organization may use of a day and of a month, in words."""
    spans = {
        "day": (settings.org_daily_request_limit, settings.org_daily_token_limit),
        "month": (settings.org_monthly_request_limit, settings.org_monthly_token_limit),
    }
    return [
        f"Quotas of one organization, by the calendar of {settings.quota_timezone}, unless operators gave it others:",
        *(
            f"  {f'a {span}':<7}  {_quota(requests, 'requests')}, {_quota(tokens, 'tokens')}"
            for span, (requests, tokens) in spans.items()
        ),
        "  Beyond one it is answered with 429 (insufficient_quota) until midnight, or the month's end.",
        f"  A request sets aside its prompt and max_tokens ({settings.max_estimated_tokens:,} where it states none)",
        "  and gives back what it has not used.",
    ]


def _quota(limit: int, what: str) -> str:
    return f"{limit:,} {what}" if limit else f"any number of {what}"


def fleet(settings: Settings) -> list[str]:
    """Which models there are, where, and what clients call them."""
    groups = build_roster(settings).groups
    width = max(len(group.name) for group in groups)
    lines = []
    for group in groups:
        where = ", ".join(backend.url for backend in group.backends)
        lines += [
            f"  {group.name:<{width}}  {where}",
            f"  {'':<{width}}  asked for as {', '.join(group.model_names)}",
            f"  {'':<{width}}  {_shares(group, settings.balancing_policy)}{_fallback(group)}",
        ]
    return ["Models, where they are served, and their names for clients:", *lines, *_seats(settings)]


POLICIES: Mapping[Balancing, str] = {
    Balancing.ROUND_ROBIN: "take turns",
    Balancing.WEIGHTED_ROUND_ROBIN: "take turns by their weights",
    Balancing.LEAST_INFLIGHT: "are asked by load: the one with the fewest requests running",
    Balancing.POWER_OF_TWO: "are asked by load: the emptier of two drawn at random",
}
"""What the replicas of a group do under each policy."""


def _shares(group: BackendGroup, policy: Balancing) -> str:
    """How the replicas share the group's requests."""
    if len(group.backends) == 1:
        return "one replica gets all requests"
    weights = ":".join(str(backend.weight) for backend in group.backends)
    weighed = f" {weights}" if policy is Balancing.WEIGHTED_ROUND_ROBIN else ""
    return f"{len(group.backends)} replicas {POLICIES[policy]}{weighed} ({policy})"


def _fallback(group: BackendGroup) -> str:
    """Who answers when the group cannot."""
    return f"; when it is down or full, {group.fallback} answers" if group.fallback else "; no other group stands in"


def _seats(settings: Settings) -> list[str]:
    """How many requests a backend runs at a time, and where more of them wait."""
    seats = settings.max_inflight_per_backend
    if not seats:
        return ["  A backend is given as many requests as come; what it cannot run yet waits inside it."]
    queue = f"{settings.max_queued_per_backend} more for each backend of the group wait here"
    return [
        f"  A backend is given {seats} requests at a time; {queue},",
        "  where organizations take turns; then its fallback, or 503.",
    ]


def time_outs(settings: Settings) -> list[str]:
    """Every wait of a request's life, from the connection to the last byte."""
    first = settings.first_token_timeout_secs
    seat = "for a seat at a backend, as far as the wait for the slot has left of it, then the fallback, or 503"
    rungs = [
        (settings.client_header_timeout_secs, "for a request's headers to arrive, then 408"),
        (settings.client_body_timeout_secs, "without a byte of its body, then 408"),
        (settings.client_body_total_secs, "for its whole body, then 408"),
        (settings.queue_timeout_secs, "in the queue for a slot, then 429"),
        *([(settings.queue_timeout_secs, seat)] if settings.max_inflight_per_backend else []),
        (settings.upstream_connect_timeout_secs, "to connect to a backend, then another replica, else 503"),
        (first, "until the first token, then 504" if first else "until the first token: no limit of its own"),
        (settings.stream_idle_timeout_secs, "between two tokens of a stream, then it ends with an error"),
        (
            settings.client_write_timeout_secs,
            "for a client that takes nothing of its answer, then its connection is closed",
        ),
        (settings.max_request_secs, "for the whole request, however well it goes, then it ends with an error"),
        (settings.drain_secs, "for running requests to finish after SIGTERM, then they are told and cut"),
    ]
    return ["Time-outs, in the order in which a request meets them:"] + [
        f"  {f'{seconds:g} s' if seconds else '-':>8}  {words}" for seconds, words in rungs
    ]
