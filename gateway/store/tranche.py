"""What does a worker hold of accounts that are far from their limits? Requests and tokens, counted there already."""

from collections.abc import Sequence

from msgspec import Struct

from gateway.store.accounts import Claim, Reservation, Standing, Will, Windows


class Drawn(Reservation, eq=False, gc=False):
    """A reservation out of a tranche, whose standings it shows.

    Attributes:
        tranche: None: it was given back, and this stands in the tree like others.
        will: what is booked if its worker dies.
        place: of that in the book of wills.
    """

    tranche: "Tranche | None" = None
    will: Will | None = None
    place: int = 0


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

    def draw(self, token: int, tokens: int, will: Will, place: int) -> Drawn:
        """One request and `tokens` tokens of it, of which enough are left."""
        self.requests = requests = self.requests - 1
        self.tokens = left = self.tokens - tokens
        drawn = self.running[token] = Drawn(
            token,
            self.claims,
            tokens,
            self.windows,
            self.standings,
            requests,
            left,
            tranche=self,
            will=will,
            place=place,
        )
        return drawn
