"""How long is a backend that fails still asked, and when is it taken back? Seconds, worked out from the settings."""

from gateway.backends.prober import SOON_SECS, TICK_SECS
from gateway.settings import Settings


def health(settings: Settings) -> list[str]:
    """How soon the prober finds a backend dead, silent or standing still, and how soon it is back."""
    interval = settings.backend_probe_interval_secs
    soon = min(interval, SOON_SECS)
    bad, good = settings.backend_down_after, settings.backend_up_after
    refused = (bad - 1) * soon
    idle, loaded = (_silent(settings, probes) for probes in (bad, settings.backend_down_after_under_load))
    stall = settings.backend_stall_secs
    # A probe sees the engine move for the last time, and the next one looks at it an interval later.
    stalled = interval + max(stall, interval) + soon
    rungs = [
        (TICK_SECS + refused, "until one whose port is closed is out, once a request has met it"),
        (interval + refused, "until it is out when no request has met it"),
        (idle, "until one is out that takes connections and says nothing"),
        (loaded, "the same while requests of ours run there, as much load looks like it"),
        (
            stalled,
            f"until one is out whose engine stands still for {stall:g} s with our requests there; /health is well",
        ),
        (
            good * soon,
            f"until it is back, once it answers again: {_counted(good, 'good probe')}, then one request first",
        ),
    ]
    title = (
        f"Health: a probe every {interval:g} s, every {soon:g} s while anything is the matter. At the latest it takes"
    )
    loading = (
        f"  For {settings.backend_loading_secs:g} s after the start, one that was never reached is loading, not down."
    )
    return [title, *(f"  {f'{seconds:g} s':>8}  {words}" for seconds, words in rungs), loading]


def breaker(settings: Settings) -> list[str]:
    """When a circuit opens, and for how long."""
    failures, pause = settings.circuit_failure_threshold, settings.circuit_recovery_timeout
    row = f"{_counted(failures, 'failure')} {'opens' if failures == 1 else 'open'}"
    longest = max(pause, settings.circuit_max_recovery_secs)
    doubled = (
        f"each that fails doubles the pause, up to {longest:g} s" if longest > pause else "each that fails renews it"
    )
    return [
        "Circuit breaker, one for each backend, shared by all workers:",
        f"  {row} it for {pause:g} s; then one request tries it; {doubled}.",
        "  A group's last backend is asked all the same. 429, 503 and mistakes of clients do not count.",
    ]


def _silent(settings: Settings, probes: int) -> float:
    """Seconds until so many probes have run into their time-out, one soon after another."""
    soon = min(settings.backend_probe_interval_secs, SOON_SECS)
    return settings.backend_probe_interval_secs + probes * settings.backend_probe_timeout_secs + (probes - 1) * soon


def _counted(number: int, thing: str) -> str:
    return f"one {thing}" if number == 1 else f"{number} {thing}s in a row"
