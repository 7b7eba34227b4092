"""Which settings are allowed, but probably not meant? What can be told from the settings alone."""

from gateway.settings import Settings


def doubts(settings: Settings) -> list[str]:
    """A sentence for each; told last, where a terminal still shows it."""
    longest = settings.max_request_secs
    in_vain = "is longer than MAX_REQUEST_SECS, which ends a request first"
    known = [
        (settings.stream_idle_timeout_secs > longest, f"STREAM_IDLE_TIMEOUT_SECS {in_vain}"),
        (settings.first_token_timeout_secs > longest, f"FIRST_TOKEN_TIMEOUT_SECS {in_vain}"),
        (
            settings.upstream_max_keepalive > settings.upstream_max_connections,
            "UPSTREAM_MAX_KEEPALIVE is more than UPSTREAM_MAX_CONNECTIONS",
        ),
    ]
    return [words for is_so, words in known if is_so]
