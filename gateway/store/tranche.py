"""What does a worker hold of accounts that are far from their limits? Requests and tokens, counted there already."""

from collections.abc import Sequence

from msgspec import Struct

from gateway.store.accounts import Claim, Reservation, Standing, Will, Windows


class Drawn(Reservation, eq=False, gc=False):
    """A reservation out of a tranche; None: its tranche was written down, and it stands in the tree like others."""

    tranche: "Tranche | None" = None
    will: Will | None = None


class Tranche(Struct, eq=False):
    """So many requests and tokens of all claims at once, for requests that make the same ones.

    Attributes:
        number: unique in its worker, among tokens of requests, too.
        key: of its record.
        claims: what its requests claim.
        asked: the windows in which they ask.
        windows: those that each claim counts in.
        standings: of each claim, as if all were used up.
        granted: requests that it began with.
        granted_tokens: likewise.
        requests: those left.
        tokens: those left; less than none, where answers took more than was reserved for them.
        running: what was drawn and is not settled, by token.
    """

    number: int
    key: bytes
    claims: Sequence[Claim]
    asked: Windows
    windows: Sequence[Windows]
    standings: Sequence[Standing]
    granted: int
    granted_tokens: int
    requests: int
    tokens: int
    running: dict[int, Drawn]

    def draw(self, token: int, tokens: int, will: Will) -> Drawn:
        """One request and `tokens` tokens of it, of which enough are left."""
        self.requests = requests = self.requests - 1
        self.tokens = left = self.tokens - tokens
        standings: list[Standing] = []
        for at in self.standings:  # as plain steps: a comprehension is a call of its own
            day_tokens, month_tokens = at.day_tokens - left, at.month_tokens - left
            full, tokens_full = at.requests_full_after, at.tokens_full_after
            standings += (
                Standing(
                    full,
                    tokens_full,
                    at.day_requests - requests,
                    day_tokens,
                    at.month_requests - requests,
                    month_tokens,
                ),
            )
        drawn = Drawn(token, self.claims, tokens, self.windows, standings, tranche=self, will=will)
        self.running[token] = drawn
        return drawn
