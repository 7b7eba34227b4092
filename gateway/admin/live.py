"""What does only the running gateway know? The Protocol by which the admin API asks the control process."""

from collections.abc import Sequence
from datetime import date
from typing import NamedTuple, Protocol

from gateway.backends.roster import Roster
from gateway.backends.view import BackendStatus
from gateway.core.fleet import BackendGroup
from gateway.core.model_card import FLAT
from gateway.core.principal import AccountLimits
from gateway.fleet.drains import Drains
from gateway.fleet.merge import source_of


class Fixed(NamedTuple):
    """A group that no request to the admin API may change, and what rules it: words that follow `is set by`."""

    group: BackendGroup
    source: str


class Load(NamedTuple):
    """What an organization has at this moment, over all workers of the host."""

    organization: str
    in_flight: int
    queued: int


class Window(NamedTuple):
    """How one limit of an account stands.

    Attributes:
        field: which of `AccountLimits`.
        limit: above 0.
        used: what is reserved for running requests included; may be more than the limit.
        resets_at: seconds since 1970; a minute's bucket is full again then, a calendar's window begins anew.
    """

    field: str
    limit: int
    used: int
    resets_at: float


class Live(Protocol):
    """The running gateway. Methods raise `UnavailableError` where its shared state cannot be read now."""

    def fixed(self) -> Sequence[Fixed]:
        """The groups that settings and files describe."""
        ...

    def defaults(self) -> AccountLimits:
        """The limits of an organization that has none of its own."""
        ...

    @property
    def drains(self) -> Drains:
        """How the database's list of drained servers spells this host's backends."""
        ...

    def backends(self) -> Sequence[BackendStatus]:
        """Every backend that is known now, with its state, its circuit and what runs there."""
        ...

    async def loads(self) -> Sequence[Load]:
        """The organizations that have requests running or waiting."""
        ...

    async def standing(self, account: str, limits: AccountLimits) -> Sequence[Window]:
        """How the limits of an account (`org:acme`, `ip:192.0.2.7`, `key:<id>`) stand; none for one that is 0."""
        ...

    async def flush_cache(self) -> int:
        """Drop all answers of this host that are kept; how many there were."""
        ...

    def today(self) -> date:
        """The date in QUOTA_TIMEZONE."""
        ...

    def ordinal(self, day: date) -> int:
        """The number by which the ledger knows a day."""
        ...

    def date_of(self, ordinal: int) -> date:
        """The reverse of `ordinal`."""
        ...

    def begins(self, day: date) -> float:
        """The first second of a day in QUOTA_TIMEZONE, since 1970."""
        ...


def fixed_by_settings(roster: Roster) -> list[Fixed]:
    """The groups of settings and of their file, each with what describes it."""
    return [Fixed(group, _source_of(group.name)) for group in roster.groups]


def _source_of(group: str) -> str:
    source = source_of(group)
    name = group.upper()
    return f"{source}, {name}_MODEL and {name}_ALIASES in the settings" if group in FLAT else source
