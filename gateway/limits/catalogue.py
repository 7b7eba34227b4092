"""Which limits has an account? A row for each: what it counts, for how long, and what a client is told of it."""

from typing import NamedTuple

from gateway.core.principal import KEY_ACCOUNT
from gateway.core.refusal import Refusal


class Row(NamedTuple):
    """One limit.

    Attributes:
        field: of `AccountLimits`.
        unit: what is counted.
        window: for how long: `minute`, refilled all the time, or the calendar's `day` or `month`.
        refusal: what is counted where it refuses a request.
    """

    field: str
    unit: str
    window: str
    refusal: Refusal


ROWS = {
    row.field: row
    for row in (
        Row("requests_per_minute", "requests", "minute", Refusal.REQUESTS),
        Row("tokens_per_minute", "tokens", "minute", Refusal.TOKENS),
        Row("requests_per_day", "requests", "day", Refusal.DAY),
        Row("tokens_per_day", "tokens", "day", Refusal.DAY),
        Row("requests_per_month", "requests", "month", Refusal.MONTH),
        Row("tokens_per_month", "tokens", "month", Refusal.MONTH),
    )
}


def owner(account: str) -> str:
    """Whose limit it is, within a sentence."""
    return "this API key" if account.startswith(KEY_ACCOUNT) else f"the organization {account}"


def rate_reached(account: str, row: Row, limit: int) -> str:
    """Said to who may try again within the minute."""
    return f"Rate limit reached: {owner(account)} may use {limit} {row.unit} per minute."


def too_large(account: str, row: Row, limit: int, tokens: int) -> str:
    """Said to who asks for more than a whole minute has."""
    return (
        f"This request may take {tokens} tokens, and {owner(account)} may use {limit} {row.unit} per minute: "
        "ask for fewer in max_tokens, or send less."
    )


def quota_used_up(account: str, row: Row, left: int, limit: int, renews: str) -> str:
    """Said to who must wait for the calendar."""
    rest = f"{left} of them left, too few for this request" if left else "none of them left"
    return (
        f"Quota exceeded: {owner(account)} may use {limit} {row.unit} per {row.window}, with {rest}. "
        f"The quota renews at {renews}."
    )
