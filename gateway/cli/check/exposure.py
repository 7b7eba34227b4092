"""What of a configuration lets a secret be guessed, or be read on its way? Told without showing any of it."""

from ipaddress import ip_address
from urllib.parse import parse_qs, urlsplit

from gateway.settings import Settings

SAFE_LENGTH = 20
"""Characters: some thousand guesses a second find five in days, and twenty never. `gateway init` writes 43."""
SHORT = (
    f"GATEWAY_API_KEY holds a key of under {SAFE_LENGTH} characters: nothing but length keeps it from being guessed, "
    "as a right key always passes, however many wrong ones came before it"
)
DATABASE = (
    "DATABASE_URL leads to another host, and its sslmode lets the password and all records pass in clear: "
    "sslmode=verify-full encrypts them and asks who answers"
)
ENCRYPTING = frozenset({"require", "verify-ca", "verify-full"})
"""libpq's modes that never fall back to a connection in clear."""


def exposures(settings: Settings) -> list[str]:
    """A sentence for each."""
    short = any(len(key.get_secret_value()) < SAFE_LENGTH for key in settings.gateway_api_key)
    known = [
        (short, SHORT),
        (
            bool(settings.admin_api_key) and _in_clear(settings.gateway_url, "http"),
            "GATEWAY_URL is http:// and leads to another host: commands send ADMIN_API_KEY there in clear",
        ),
        (
            _in_clear(settings.redis_url.get_secret_value(), "redis"),
            "REDIS_URL is redis:// and leads to another host: password and counters pass in clear; rediss:// encrypts",
        ),
        (_database_in_clear(settings.database_url.get_secret_value()), DATABASE),
    ]
    return [words for is_so, words in known if is_so]


def _in_clear(url: str, scheme: str) -> bool:
    """Whether that URL leads to another host without TLS."""
    parts = urlsplit(url)
    return parts.scheme == scheme and not _is_here(parts.hostname or "")


def _database_in_clear(url: str) -> bool:
    parts = urlsplit(url)
    if not parts.scheme.startswith("postgres") or not parts.hostname or _is_here(parts.hostname):
        return False
    return not ENCRYPTING & set(parse_qs(parts.query).get("sslmode", ()))


def _is_here(host: str) -> bool:
    """Whether a host is this one, by its name."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
