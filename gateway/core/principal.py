"""Who asks? The organization that a request counts for, and what its key allows."""

from msgspec import Struct


class AccountLimits(Struct, frozen=True, array_like=True):
    """What one account, an API key's or an organization's, may use; 0 is no limit.

    Attributes:
        requests_per_minute: refilled continuously.
        tokens_per_minute: likewise; prompt and completion together.
        requests_per_day: by the calendar of QUOTA_TIMEZONE, as all that follow.
        tokens_per_day: prompt and completion together.
        requests_per_month: by the calendar's months.
        tokens_per_month: prompt and completion together.
    """

    requests_per_minute: int = 0
    tokens_per_minute: int = 0
    requests_per_day: int = 0
    tokens_per_day: int = 0
    requests_per_month: int = 0
    tokens_per_month: int = 0


UNLIMITED = AccountLimits()


class Principal(Struct, frozen=True, array_like=True):
    """What a valid API key says of whoever shows it.

    Attributes:
        organization: `org:` and its name; empty: the client's address stands for it, as under GATEWAY_API_KEY.
        key_id: names the key's account, in the admin API and in usage; empty for GATEWAY_API_KEY.
        key_prefix: the beginning of the key that may be logged.
        models: the names that may be asked for; None: all.
        limits: the key's own, beside its organization's.
        concurrency: how many of the key's requests may run at once, beside its organization's; 0 is no limit.
        priority: lower runs first at backends whose model says that they schedule by priority.
    """

    organization: str = ""
    key_id: str = ""
    key_prefix: str = ""
    models: frozenset[str] | None = None
    limits: AccountLimits = UNLIMITED
    concurrency: int = 0
    priority: int = 0


KEY_ACCOUNT = "key:"
"""What the accounts and lines of API keys begin with, their id behind it; all others are organizations'.

A key has one account, from wherever it is used."""

NAMED = "org:"
"""What the organizations begin with that keys name; the others are clients' addresses, `ip:` and the address."""

MASTER = Principal()
"""Whoever shows one of GATEWAY_API_KEY."""
