"""Which settings are allowed, but probably not meant? What can be told from the settings alone."""

from gateway.backends.roster import build_roster
from gateway.routing.settings import Balancing
from gateway.settings import Settings


def doubts(settings: Settings) -> list[str]:
    """A sentence for each; told last, where a terminal still shows it."""
    longest = settings.max_request_secs
    in_vain = "is longer than MAX_REQUEST_SECS, which ends a request first"
    weighing = Balancing.WEIGHTED_ROUND_ROBIN
    known = [
        (settings.stream_idle_timeout_secs > longest, f"STREAM_IDLE_TIMEOUT_SECS {in_vain}"),
        (settings.first_token_timeout_secs > longest, f"FIRST_TOKEN_TIMEOUT_SECS {in_vain}"),
        (
            settings.upstream_max_keepalive > settings.upstream_max_connections,
            "UPSTREAM_MAX_KEEPALIVE is more than UPSTREAM_MAX_CONNECTIONS",
        ),
        (
            bool(settings.chat_weights) and settings.balancing_policy is not weighing,
            f"CHAT_WEIGHTS counts under BALANCING_POLICY={weighing} alone, which is {settings.balancing_policy}",
        ),
    ]
    return [*(words for is_so, words in known if is_so), *_few_seats(settings)]


def _few_seats(settings: Settings) -> list[str]:
    """Whether one organization could take every seat of a group and still have slots for more."""
    each, slots = settings.max_inflight_per_backend, settings.max_inflight_per_ip
    if not each:
        return []
    seats = {group.name: each * len(group.backends) for group in build_roster(settings).groups}
    few = ", ".join(f"{count} at {name}" for name, count in seats.items() if count < slots)
    words = (
        f"MAX_INFLIGHT_PER_BACKEND={each} leaves fewer seats ({few}) than MAX_INFLIGHT_PER_IP ({slots}) lets one "
        "organization run: the rest of its requests wait for a seat, and get 503 after QUEUE_TIMEOUT_SECS"
    )
    return [words] if few else []
