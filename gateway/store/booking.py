"""What do requests change in the shared state's accounts? Each function is one LMDB transaction, or a part of one."""

import os
from collections.abc import Callable, Iterable, Sequence
from collections.abc import Set as AbstractSet

import msgspec
from msgspec import Struct

from gateway.core.principal import UNLIMITED
from gateway.store import account
from gateway.store.account import NOTHING
from gateway.store.accounts import Claim, OverLimitError, Reservation, Standing, Will, Windows
from gateway.store.holdings import Asked, Cost, book_tranche, give_back, remember, shown
from gateway.store.journal import NO_BOOKS, write
from gateway.store.records import (
    ACCOUNT,
    AFTER_RESERVATIONS,
    AFTER_TRANCHES,
    AFTER_WORKERS,
    BOOKS,
    COUNTS,
    EPOCH,
    JOURNAL,
    PAIR,
    RESERVATION,
    TRANCHE,
    WORKER,
    record_name,
)
from gateway.store.shelf import AccountShelf, Sums, count, learn, read, settle_claims, settle_sum
from gateway.store.tranche import Drawn, Tranche
from gateway.store.tree import Tree, records_between
from gateway.store.wills import Entry

EPOCH_BYTES = 8
"""Random ones: no two lives of a state share a name."""

Closings = Sequence[Reservation]
"""Of requests that have ended, with what they cost."""


class Held(Struct, frozen=True, array_like=True, gc=False):
    """A reservation as it stands in the tree, for whoever finds it there when its worker is gone."""

    claims: Sequence[Claim]
    windows: Sequence[Windows]
    tokens: int
    will: Will


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Held).decode


def reserve(tree: Tree, worker: int, asked: Asked, shelf: AccountShelf) -> Reservation | OverLimitError:
    """Count in all accounts that are asked for, or say why not: that leaves no trace."""
    token, claims, tokens, windows, will, now = asked
    found = count(tree, claims, (1, tokens), (windows, now), shelf)
    if found is None:
        return refused(tree, asked)
    counted, standings = found
    _set_aside(tree, worker, token, (claims, counted, tokens, will))
    return Reservation(token, claims, tokens, counted, shown(tree, claims, counted, standings))


def mirror(
    tree: Tree, worker: int, asked: Asked, decided: Sequence[tuple[Windows, Standing]], shelf: AccountShelf
) -> Reservation:
    """Take over what another store has decided and counts."""
    token, claims, tokens, windows, will, now = asked
    learn(tree, claims, decided, (windows, now), shelf)
    counted = [counts_in for counts_in, _ in decided]
    _set_aside(tree, worker, token, (claims, counted, tokens, will))
    return Reservation(token, claims, tokens, counted, [at for _, at in decided])


def _set_aside(tree: Tree, worker: int, token: int, held: tuple[Sequence[Claim], Sequence[Windows], int, Will]) -> None:
    """Write a reservation down, as `Held` reads it; of a plain tuple, as one is made for each request."""
    tree.put(RESERVATION + PAIR.pack(worker, token), _encode(held))


def refused(tree: Tree, asked: Asked) -> OverLimitError:
    """Which limit stands in the way, and how all the accounts stand."""
    _, claims, tokens, windows, _, now = asked
    states = [read(tree, ACCOUNT + record_name(name)) or list(NOTHING) for name, _ in claims]
    return account.over_limit(states, claims, tokens, windows, now)


def settle(tree: Tree, worker: int, closings: Closings, tranches: Iterable[Tranche], now: int) -> None:
    """Write down what requests of a worker cost, each account once; those out of tranches, which go on, have theirs.

    A request that was booked without its worker, which was taken for dead, stays as it is.
    """
    ours = {tranche.number for tranche in tranches if tree.get(tranche.key) is not None}
    write_down(tree, worker, closings, ours, Sums(), now)


def end_tranches(tree: Tree, worker: int, closings: Closings, tranches: Iterable[Tranche], now: int) -> None:
    """Likewise, and give back what is left of all tranches; what runs of them stands there like others from now on."""
    sums = Sums()
    ours = set()
    for tranche in tranches:
        if not give_back(tree, tranche, sums):
            continue
        ours.add(tranche.number)
        for token, drawn in tranche.running.items():
            _set_aside(tree, worker, token, (tranche.claims, tranche.windows, drawn.tokens, drawn.will))
    write_down(tree, worker, closings, ours, sums, now)


def write_down(tree: Tree, worker: int, closings: Closings, ours: AbstractSet[int], sums: Sums, now: int) -> None:
    """Add what requests cost to the sums, and write these and the records down.

    Args:
        tree: of the transaction.
        worker: whose requests they were.
        closings: the requests.
        ours: the numbers of the tranches that nobody else has booked.
        sums: what is to be written of accounts already.
        now: nanoseconds of the monotonic clock.
    """
    written: list[bytes] = []
    costs: list[Cost] = []
    for one in closings:
        if isinstance(one, Drawn) and one.tranche is not None:
            if one.record is not None and one.tranche.number in ours:
                written.append(one.record)
                costs.append((one.token, one.requests, one.spent))
            continue
        if not tree.delete(RESERVATION + PAIR.pack(worker, one.token)):
            continue
        for claim, windows in zip(one.claims, one.windows, strict=True):
            total = sums.of(claim, windows)
            total.count += 1
            total.requests += one.requests
            total.reserved += one.tokens
            total.tokens += one.spent
        if one.record is not None:
            written.append(one.record)
            costs.append((one.token, one.requests, one.spent))
    for (name, windows), total in sums.items():
        settle_sum(tree, ACCOUNT + record_name(name), windows, total, now)
    if written:
        write(tree, JOURNAL + PAIR.pack(worker, costs[0][0]), written)
        remember(tree, worker, costs)


def book(tree: Tree, key: bytes, value: bytes) -> None:
    """Settle a reservation whose worker is gone, as its will says."""
    held = _decode(value)
    will = held.will
    tree.delete(key)
    settle_claims(tree, held.claims, held.windows, (1, 1, held.tokens, will.tokens))
    write(tree, JOURNAL + key[len(RESERVATION) :], [will.record])


def standing(tree: Tree, name: str, windows: Windows, now: int) -> Standing:
    """See `Accounts.standing`; what workers hold in tranches is not counted, and what has ended of it is in a tick."""
    state = read(tree, ACCOUNT + record_name(name)) or list(NOTHING)
    account.turn(state, windows)
    return shown(tree, (Claim(name, UNLIMITED),), (windows,), (account.standing(state, now),))[0]


def begin(tree: Tree, journal_bytes: int, wills_of: Callable[[int], Sequence[Entry]]) -> None:
    """Make books of a tree in which nobody lives; what earlier workers left reserved is booked as their will says."""
    accounts, sheets, count, size, _, lost = COUNTS.unpack(tree.get(BOOKS) or NO_BOOKS)
    tree.put(BOOKS, COUNTS.pack(accounts, sheets, count, size, journal_bytes, lost))
    if tree.get(EPOCH) is None:
        tree.put(EPOCH, os.urandom(EPOCH_BYTES).hex().encode())
    for key, value in list(records_between(tree, RESERVATION, AFTER_RESERVATIONS)):
        book(tree, key, value)
    for key, value in list(records_between(tree, TRANCHE, AFTER_TRANCHES)):
        book_tranche(tree, key, value, wills_of(PAIR.unpack(key[-PAIR.size :])[0]))
    for key, _ in list(records_between(tree, WORKER, AFTER_WORKERS)):
        tree.delete(key)


def epoch(tree: Tree) -> str:
    """The name of this state's life."""
    return (tree.get(EPOCH) or b"").decode()
