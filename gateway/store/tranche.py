"""What does a worker hold of accounts that are far from their limits? Requests and tokens, counted there already."""

from collections.abc import Iterator, Sequence

from msgspec import Struct

from gateway.core.structs import stored_plainly
from gateway.store.accounts import Claim, Reservation, Standing, Will, Windows
from gateway.store.wills import WillBook


@stored_plainly
class Drawn(Reservation, eq=False, gc=False):
    """A reservation out of a tranche, whose standings it shows. Until it is settled, its cost is what its will says.

    Attributes:
        tranche: None: it was given back, and this stands in the tree like others.
        place: of the will in the book.
    """

    tranche: "Tranche | None" = None
    place: int = 0

    @property
    def will(self) -> Will:
        """What is booked if its worker dies while it runs."""
        return Will(self.spent, self.record or b"")


@stored_plainly
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
        book: where the wills of its requests are.
        numbers: what their tokens are taken from.
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
    book: WillBook = None  # type: ignore[assignment]  # set before anybody draws, by the worker whose both are
    numbers: Iterator[int] = None  # type: ignore[assignment]  # likewise

    def draw(self, tokens: int, prompt: int, record: bytes) -> Drawn | None:
        """See `Share.draw`; positional throughout, as each request draws."""
        requests = self.requests - 1
        left = self.tokens - tokens
        if requests < 0 or left < 0:
            return None
        token = next(self.numbers)
        place = self.book.add(self.number, token, prompt, record)
        if place is None:
            return None
        self.requests = requests
        self.tokens = left
        drawn = self.running[token] = Drawn(
            token,
            self.claims,
            tokens,
            self.windows,
            self.standings,
            requests,
            left,
            False,  # noqa: FBT003 -- `settled`: by its place, as all of them
            1,
            prompt,
            record,
            self,
            place,
        )
        return drawn
