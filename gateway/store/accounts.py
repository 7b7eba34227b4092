"""What may be asked of the counters of keys and organizations? Reserve, settle, and hand over what was used."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import NamedTuple, Protocol

from msgspec import Struct

from gateway.core.months import month_of
from gateway.core.principal import AccountLimits
from gateway.core.usage_sheet import Sheet


class Claim(NamedTuple):
    """One account that a request counts in, and what that account may use.

    Accounts are named `key:<id>`, `org:acme` or, by the client's address, `ip:192.0.2.7` and `ip:2001:db8::/64`.
    """

    account: str
    limits: AccountLimits


class Windows(NamedTuple):
    """The day and the month of now in QUOTA_TIMEZONE, as numbers that grow by one with each."""

    day: int
    month: int


def windows_in_utc(wall: float) -> Windows:
    """The day and the month in UTC in which that second since 1970 lies."""
    day = datetime.fromtimestamp(wall, UTC).date()
    return Windows(day.toordinal(), month_of(day))


class Standing(Struct, frozen=True, gc=False):  # made per request: a NamedTuple takes five times as long
    """What one account has used, what is reserved included; see `gateway.limits.quotas` for what is left of limits.

    Attributes:
        requests_full_after: seconds until the minute's bucket of requests is full again.
        tokens_full_after: likewise of tokens; more than 60 where answers took more than was reserved for them.
        day_requests: in the running day, as the next; the calendar's windows are the caller's.
        day_tokens: prompt and completion together, as `month_tokens`.
        month_requests: in the running month.
        month_tokens: in the running month.
    """

    requests_full_after: float = 0.0
    tokens_full_after: float = 0.0
    day_requests: int = 0
    day_tokens: int = 0
    month_requests: int = 0
    month_tokens: int = 0

    def without(self, requests: int, tokens: int) -> "Standing":
        """The same without so much of both calendar's windows, which may have been forgotten meanwhile."""
        return Standing(
            self.requests_full_after,
            self.tokens_full_after,
            self.day_requests - requests if self.day_requests > requests else 0,
            self.day_tokens - tokens if self.day_tokens > tokens else 0,
            self.month_requests - requests if self.month_requests > requests else 0,
            self.month_tokens - tokens if self.month_tokens > tokens else 0,
        )


class Will(Struct, frozen=True, array_like=True, gc=False):
    """What is booked if the worker dies before it settles: one request, so many tokens, and this record of it."""

    tokens: int
    record: bytes


class Reservation(Struct, eq=False, gc=False):
    """What a running request has set aside, until it is settled; `token` is unique in its worker.

    `windows` are those that each claim was counted in, which the caller's may differ from for the clock's sake.
    `standings` are those of the claims, of which so many requests and tokens are held for others and not used. The
    last three are what it cost, as `Accounts.settle` was told, until that is written down.
    """

    token: int
    claims: Sequence[Claim]
    tokens: int
    windows: Sequence[Windows]
    standings: Sequence[Standing]
    unused_requests: int = 0
    unused_tokens: int = 0
    settled: bool = False
    requests: int = 0
    spent: int = 0
    record: bytes | None = None

    def used(self) -> Sequence[Standing]:
        """The standings without what is held for others."""
        requests, tokens = self.unused_requests, self.unused_tokens
        if not requests and not tokens:
            return self.standings
        return [at.without(requests, tokens) for at in self.standings]


class OverLimitError(Exception):
    """One limit would be passed; nothing was counted anywhere.

    Attributes:
        claim: the index of the claim whose limit it is.
        field: which of `AccountLimits`.
        retry_after: seconds until the minute's bucket would grant it; None: a calendar's window, or never.
        standings: of all claims, as they are.
    """

    def __init__(self, claim: int, field: str, retry_after: float | None, standings: Sequence[Standing]) -> None:
        super().__init__(field)
        self.claim = claim
        self.field = field
        self.retry_after = retry_after
        self.standings = standings


class Share(Protocol):
    """What a worker holds of accounts that are far from their limits: requests with their claims draw from it.

    Attributes:
        standings: of the claims, as if all that it began with were used up.
        granted: requests that it began with.
        granted_tokens: likewise.
        requests: those left, none once it was given back.
        tokens: those left; less than none, where answers took more than was reserved for them.
    """

    @property
    def standings(self) -> Sequence[Standing]:
        """See above."""
        ...

    @property
    def granted(self) -> int:
        """See above."""
        ...

    @property
    def granted_tokens(self) -> int:
        """See above."""
        ...

    @property
    def requests(self) -> int:
        """See above."""
        ...

    @property
    def tokens(self) -> int:
        """See above."""
        ...

    def draw(self, tokens: int, will_tokens: int, will_record: bytes, /) -> Reservation | None:
        """What `Accounts.reserve` does, in the windows for which it was lent; None: it has too little left."""
        ...


class JournalCounts(NamedTuple):
    """Records that wait to be taken away, their bytes, and how many were lost because there was no room for them."""

    records: int
    size: int
    lost: int


class Accounts(Protocol):
    """The counters of keys and organizations, one truth for all workers.

    Methods raise `StoreUnavailableError` when the state cannot be written, except `settle`, which never raises.
    """

    @property
    def wall(self) -> Callable[[], float]:
        """Gives the time of day that all who share the counters have, in seconds since 1970: windows are told by it.

        With a server of several hosts it is that server's, whatever the clock of this host says.
        """
        ...

    async def reserve(self, claims: Sequence[Claim], *, tokens: int, windows: Windows, will: Will) -> Reservation:
        """Count one request and `tokens` tokens in all claims, or in none: one decision over all their limits.

        Claims are of different accounts, an organization's first. A key may be claimed together with several of them,
        where they are addresses. Raises OverLimitError for the limit that would be passed, of several the one that
        lasts longest.
        """
        ...

    def lent(self, claims: Sequence[Claim], windows: Windows) -> Share | None:
        """What this worker holds for such requests now, for the next ones to draw from without asking; None: nothing.

        It is to be asked for again when it has too little left.
        """
        ...

    def settle(self, reservation: Reservation, *, requests: int, tokens: int, record: bytes | None) -> None:
        """Put what it truly cost in the place of what was reserved, and `record` into the journal.

        `requests` is 1, or 0 when nothing was run or answered. More `tokens` than were reserved are counted, too. It
        counts in the windows in which it was reserved. Has its effect once, within 0.1 s, and before this worker
        refuses anybody; never raises.
        """
        ...

    async def journal(self, most: int) -> list[Sheet]:
        """The first sheets that nobody took away, until they have `most` records; for the bookkeeper alone.

        No two sheets of the journals of one `host()` have the same key, in whichever process they were written.
        """
        ...

    async def forget(self, keys: Sequence[bytes]) -> None:
        """Remove sheets from the journal; keys that are not there are passed over."""
        ...

    async def standing(self, account: str, windows: Windows) -> Standing:
        """What an account has used; nothing, if it is not known."""
        ...

    async def restore(self, account: str, windows: Windows, day: tuple[int, int], month: tuple[int, int]) -> None:
        """Add requests and tokens of an earlier epoch, once for an account and a window, however often it is called.

        A window that is no longer the account's is passed over.
        """
        ...

    async def page(self, after: str, most: int, windows: Windows) -> Sequence[tuple[str, Standing]]:
        """Up to so many accounts, by their names, those behind `after`; none: there are no more.

        What workers hold of them for their next requests counts as used, other than in `standing`. With a server of
        several hosts, those that this host knows. A name of more than 64 bytes may come as the store spells it.
        """
        ...

    def journal_counts(self) -> JournalCounts:
        """How full the journal is."""
        ...

    def epoch(self) -> str:
        """The name of this state's life: another one means that all counters began anew."""
        ...

    def host(self) -> str:
        """The name of this host's own state, the journal among it; several hosts may count in one epoch."""
        ...
