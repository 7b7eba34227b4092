"""Which settings are allowed, but probably not meant? What can be told from the settings alone."""

import contextlib

import orjson

from gateway.backends.choices import BackendsShared
from gateway.backends.common import is_relative
from gateway.backends.roster import build_roster
from gateway.core.control_wire import SPLIT_NOTICE
from gateway.routing.choices import Balancing
from gateway.server.channel import CONTROL_FOLDER
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
    return [
        *(words for is_so, words in known if is_so),
        *_few_seats(settings),
        *_several_hosts(settings),
        *_whose_servers(settings),
    ]


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


def _several_hosts(settings: Settings) -> list[str]:
    """Whether another host grants all limits once more: seen by a gateway that runs here, or to be feared."""
    if settings.redis_url.get_secret_value():
        return []
    seen: list[str] = []
    with contextlib.suppress(OSError, orjson.JSONDecodeError):
        seen = orjson.loads((settings.limiter_path / CONTROL_FOLDER / SPLIT_NOTICE).read_bytes())
    if seen:
        words = (
            f"other hosts use the same database ({', '.join(seen)}) and REDIS_URL is empty: each grants every rate "
            "limit, slot and quota in full, so that together they double; set the same REDIS_URL on all of them, or "
            "give each a DATABASE_URL of its own"
        )
        return [words]
    words = (
        "DATABASE_URL names a server and REDIS_URL is empty: that is right for one host alone, as each further one "
        "grants every limit and quota once more"
    )
    return [words] if settings.database_url.get_secret_value().startswith("postgresql") else []


def _whose_servers(settings: Settings) -> list[str]:
    """Whether nobody has said of some server that other hosts name, too, if it is theirs."""
    several = settings.redis_url.get_secret_value() or settings.database_url.get_secret_value().startswith("postgres")
    if not several or settings.backends_shared is not BackendsShared.AUTO:
        return []
    backends = [backend for _, backend in build_roster(settings).backends() if is_relative(backend.url)]
    if not backends:
        return []
    words = (
        f"{', '.join(f'{backend.name} at {backend.url}' for backend in backends)}: BACKENDS_SHARED=auto takes that for "
        "another server on each host, with circuit, seats and drains of its own; set on if all hosts mean the same "
        "servers, off if not"
    )
    return [words]
