"""What do workers hold of accounts in tranches? Each function here is a part of one LMDB transaction."""

from collections.abc import Iterable, Sequence

import msgspec
from msgspec import Struct

from gateway.core.principal import KEY_ACCOUNT, NAMED
from gateway.store import account
from gateway.store.accounts import Claim, Standing, Will, Windows
from gateway.store.journal import write
from gateway.store.records import ACCOUNT, JOURNAL, NUMBER, PAIR, TRANCHE, WORKER, record_name, tranche_prefix
from gateway.store.shelf import AccountShelf, Sums, count, settle_claims
from gateway.store.tranche import Tranche
from gateway.store.tree import Tree, records_under
from gateway.store.wills import Entry

TRANCHE_REQUESTS = 1024
"""As many as a worker ends between two ticks, and tokens for so many, as estimated."""

LEAST_REQUESTS = 8
"""A smaller tranche is used up before it has paid for itself."""

SHEET = 32
"""Records of the dead that stand together; the living write what has ended meanwhile."""

Cost = tuple[int, int, int]
"""The token of a request that has ended, how many requests it counts as, and its tokens."""

Asked = tuple[int, Sequence[Claim], int, Windows, Will, int]
"""What a request wants to set aside: its token, in which accounts, how many tokens, in which windows, what is booked if
its worker dies, and now, in nanoseconds of the monotonic clock. A plain tuple, as one is made for each request."""

_encode = msgspec.msgpack.Encoder().encode


class HeldTranche(Struct, frozen=True, array_like=True, gc=False):
    """A tranche as it stands in the tree, for whoever finds it there when its worker is gone."""

    claims: Sequence[Claim]
    windows: Sequence[Windows]
    requests: int
    tokens: int

    def counts(self) -> set[tuple[str, Windows]]:
        """The accounts and windows that it is counted in."""
        return {(name, windows) for (name, _), windows in zip(self.claims, self.windows, strict=True)}


_decode = msgspec.msgpack.Decoder(HeldTranche).decode
_decode_costs = msgspec.msgpack.Decoder(list[Cost]).decode
NO_COSTS = _encode([])


def hand_out(tree: Tree, worker: int, asked: Asked, shelf: AccountShelf) -> Tranche | None:
    """A tranche of all accounts for requests like this one; None, and no trace, if one is too near to its limits."""
    number, claims, tokens, windows, _, now = asked
    shares = [account.share(tree.get(ACCOUNT + record_name(name)), limits, windows) for name, limits in claims]
    requests = min(TRANCHE_REQUESTS, *(requests for requests, _ in shares))
    granted = min(TRANCHE_REQUESTS * tokens, *(tokens for _, tokens in shares))
    if requests < LEAST_REQUESTS or granted < tokens * LEAST_REQUESTS:
        return None
    found = count(tree, claims, (requests, granted), (windows, now), shelf)
    if found is None:
        return None
    counted, standings = found
    key = tranche_prefix(record_name(claims[0].account)) + PAIR.pack(worker, number)
    seen = shown(tree, claims, counted, standings)  # before its own record: that is seen as if all were used up
    tree.put(key, _encode((claims, counted, requests, granted)))
    return Tranche(number, key, claims, windows, counted, seen, requests, granted, requests, granted, {})


def shown(
    tree: Tree, claims: Sequence[Claim], windows: Sequence[Windows], standings: Sequence[Standing]
) -> Sequence[Standing]:
    """How accounts stand without what is held of them in tranches: most of that comes back with the next tick."""
    held = [_decode(value) for _, value in records_under(tree, around(claims))]
    if not held:
        return standings
    return [
        standing.without(*held_in(held, name, counts_in))
        for (name, _), counts_in, standing in zip(claims, windows, standings, strict=True)
    ]


def held_in(held: Sequence[HeldTranche], name: str, windows: Windows) -> tuple[int, int]:
    """The requests and tokens that tranches hold of an account."""
    of_it = [tranche for tranche in held if (name, windows) in tranche.counts()]
    return sum(tranche.requests for tranche in of_it), sum(tranche.tokens for tranche in of_it)


def holders(tree: Tree, claims: Sequence[Claim]) -> set[int]:
    """The workers with a tranche of any of those accounts."""
    names = {name for name, _ in claims}
    return {
        PAIR.unpack(key[-PAIR.size :])[0]
        for key, value in records_under(tree, around(claims))
        if not names.isdisjoint(name for name, _ in _decode(value).claims)
    }


def around(claims: Sequence[Claim]) -> bytes:
    """What the keys of all tranches begin with that may hold of those accounts: they stand under organizations.

    A key that has none is used from whatever address; all tranches are looked at for it, 32 of each worker at the most.
    """
    first = claims[0][0]
    if first.startswith(NAMED) or (len(claims) == 1 and not first.startswith(KEY_ACCOUNT)):
        return tranche_prefix(record_name(first))
    return TRANCHE


def give_back(tree: Tree, tranche: Tranche, sums: Sums) -> bool:
    """Add to the sums what of a tranche was used and does not run; False: somebody has booked it already."""
    if not tree.delete(tranche.key):
        return False
    running = tranche.running.values()
    count = tranche.granted - len(running)
    reserved = tranche.granted_tokens - sum(drawn.tokens for drawn in running)
    for claim, windows in zip(tranche.claims, tranche.windows, strict=True):
        total = sums.of(claim, windows)
        total.count += count
        total.requests += count - tranche.requests
        total.reserved += reserved
        total.tokens += reserved - tranche.tokens
    return True


def remember(tree: Tree, worker: int, costs: Sequence[Cost]) -> None:
    """Say in a sheet's own transaction what is on it: the worker's wills may still tell of those as if they ran."""
    tree.put(WORKER + NUMBER.pack(worker), _encode(costs))


def book_tranche(tree: Tree, key: bytes, value: bytes, wills: Iterable[Entry]) -> None:
    """Settle a tranche whose worker is gone: what was drawn of it as the wills say, and nothing for what was not.

    What the worker wrote last, perhaps just before it was killed, is in the journal and has cost what it has cost. Of
    all that it wrote before that its wills know.
    """
    held = _decode(value)
    worker, number = PAIR.unpack(key[-PAIR.size :])
    tree.delete(key)
    written = {token: cost for token, *cost in _decode_costs(tree.get(WORKER + NUMBER.pack(worker)) or NO_COSTS)}
    drawn = [will for will in wills if will.tranche == number]
    costs = [written.get(will.token, (will.requests, will.tokens)) for will in drawn]
    requests, tokens = sum(requests for requests, _ in costs), sum(tokens for _, tokens in costs)
    settle_claims(tree, held.claims, held.windows, (held.requests, requests, held.tokens, tokens))
    running = [will for will in drawn if will.running and will.token not in written]
    for start in range(0, len(running), SHEET):
        sheet = running[start : start + SHEET]
        write(tree, JOURNAL + PAIR.pack(worker, sheet[0].token), [will.record for will in sheet])
