"""What do accounts change in the shared state? Each function here is one LMDB transaction, or a part of one."""

import os
from collections.abc import Callable, Iterable, Sequence
from collections.abc import Set as AbstractSet

import msgspec
from msgspec import Struct

from gateway.core.principal import UNLIMITED, AccountLimits
from gateway.store import account
from gateway.store.account import NOTHING, RECORD, State
from gateway.store.accounts import Claim, JournalCounts, OverLimitError, Reservation, Sheet, Standing, Will, Windows
from gateway.store.records import (
    ACCOUNT,
    AFTER_ACCOUNTS,
    AFTER_JOURNAL,
    AFTER_RESERVATIONS,
    AFTER_TRANCHES,
    BOOKS,
    COUNTS,
    EPOCH,
    JOURNAL,
    PAIR,
    RESERVATION,
    TRANCHE,
    record_name,
    tranche_prefix,
)
from gateway.store.settings import EVICTION_SAMPLE
from gateway.store.tranche import Drawn, Tranche
from gateway.store.tree import Tree, records_between, records_under
from gateway.store.wills import Entry

EPOCH_BYTES = 8
"""Random ones: no two lives of a state share a name."""


class Held(Struct, frozen=True, array_like=True, gc=False):
    """A reservation as it stands in the tree, for whoever finds it there when its worker is gone."""

    claims: Sequence[Claim]
    windows: Sequence[Windows]
    tokens: int
    will: Will


class HeldTranche(Struct, frozen=True, array_like=True, gc=False):
    """A tranche as it stands in the tree, for whoever finds it there when its worker is gone."""

    claims: Sequence[Claim]
    windows: Sequence[Windows]
    requests: int
    tokens: int

    def counts(self) -> set[tuple[str, Windows]]:
        """The accounts and windows that it is counted in."""
        return {(name, windows) for (name, _), windows in zip(self.claims, self.windows, strict=True)}


Asked = tuple[int, Sequence[Claim], int, Windows, Will, int]
"""What a request wants to set aside: its token, in which accounts, how many tokens, in which windows, what is booked if
its worker dies, and now, in nanoseconds of the monotonic clock. A plain tuple, as one is made for each request."""

Closings = Sequence[Reservation]
"""Of requests that have ended, with what they cost."""


class Sum(Struct, gc=False):
    """What requests of one account and window cost together, and what had been reserved for them."""

    limits: AccountLimits
    count: int = 0
    requests: int = 0
    reserved: int = 0
    tokens: int = 0


NO_BOOKS = bytes(COUNTS.size)

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Held).decode
_decode_tranche = msgspec.msgpack.Decoder(HeldTranche).decode
_decode_sheet = msgspec.msgpack.Decoder(list[bytes]).decode

SHEET = 32
"""Records of the dead that stand together; the living write what has ended meanwhile."""
OF_WILLS = b"w"
"""Behind the token of a sheet's last request; other sheets have that of their first one, and come before it."""

TRANCHE_REQUESTS = 1024
"""As many as a worker ends between two ticks, and tokens for so many, as estimated."""

LEAST_REQUESTS = 8
"""A smaller tranche is used up before it has paid for itself."""


def reserve(tree: Tree, worker: int, asked: Asked, shelf: "AccountShelf") -> Reservation | OverLimitError:
    """Count in all accounts that are asked for, or say why not: that leaves no trace."""
    token, claims, tokens, windows, will, now = asked
    found = count(tree, claims, (1, tokens), (windows, now), shelf)
    if found is None:
        return refused(tree, asked)
    counted, standings = found
    tree.put(RESERVATION + PAIR.pack(worker, token), _encode((claims, counted, tokens, will)))
    return Reservation(token, claims, tokens, counted, shown(tree, claims, counted, standings))


def count(
    tree: Tree, claims: Sequence[Claim], amounts: tuple[int, int], when: tuple[Windows, int], shelf: "AccountShelf"
) -> tuple[list[Windows], list[Standing]] | None:
    """Count so many requests and tokens in all accounts; None: in none, because one would pass a limit."""
    requests, tokens = amounts
    windows, now = when
    counted = []
    standings = []
    changed = []
    for name, limits in claims:
        key = ACCOUNT + record_name(name)
        value = tree.get(key)
        charged = account.charge(value, limits, tokens, windows, now, requests)
        if charged is None:
            return None
        record, counts_in, standing = charged
        changed.append((key, record, value))
        counted.append(counts_in)
        standings.append(standing)
    for key, record, value in changed:
        tree.put(key, record)
        if value is None:
            shelf.make_room(tree, key, windows, now)
    return counted, standings


def hand_out(tree: Tree, worker: int, asked: Asked, shelf: "AccountShelf") -> Tranche | None:
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
    held = [_decode_tranche(value) for _, value in records_under(tree, tranche_prefix(record_name(claims[0].account)))]
    if not held:
        return standings
    return [
        without(standing, [tranche for tranche in held if (name, counts_in) in tranche.counts()])
        for (name, _), counts_in, standing in zip(claims, windows, standings, strict=True)
    ]


def without(at: Standing, held: Sequence[HeldTranche]) -> Standing:
    """An account that counts no more what is held of it."""
    requests, tokens = sum(tranche.requests for tranche in held), sum(tranche.tokens for tranche in held)
    return Standing(
        at.requests_full_after,
        at.tokens_full_after,
        max(at.day_requests - requests, 0),
        max(at.day_tokens - tokens, 0),
        max(at.month_requests - requests, 0),
        max(at.month_tokens - tokens, 0),
    )


def holders(tree: Tree, organization: str) -> set[int]:
    """The workers with a tranche of an organization, or of keys of it."""
    return {
        PAIR.unpack(key[-PAIR.size :])[0] for key, _ in records_under(tree, tranche_prefix(record_name(organization)))
    }


def mirror(
    tree: Tree, worker: int, asked: Asked, decided: Sequence[tuple[Windows, Standing]], shelf: "AccountShelf"
) -> Reservation:
    """Take over what another store has decided and counts."""
    token, claims, tokens, windows, will, now = asked
    learn(tree, claims, decided, (windows, now), shelf)
    counted = [counts_in for counts_in, _ in decided]
    tree.put(RESERVATION + PAIR.pack(worker, token), _encode((claims, counted, tokens, will)))
    return Reservation(token, claims, tokens, counted, [at for _, at in decided])


def learn(
    tree: Tree,
    claims: Sequence[Claim],
    decided: Sequence[tuple[Windows, Standing]],
    when: tuple[Windows, int],
    shelf: "AccountShelf",
) -> None:
    """Have the accounts stand as they do in another store."""
    windows, now = when
    for (name, _), (counts_in, at) in zip(claims, decided, strict=True):
        key = ACCOUNT + record_name(name)
        known = tree.get(key) is not None
        tree.put(key, RECORD.pack(*account.state_of(at, counts_in, now)))
        if not known:
            shelf.make_room(tree, key, windows, now)


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
    write_down(tree, worker, closings, ours, {}, now)


def end_tranches(tree: Tree, worker: int, closings: Closings, tranches: Iterable[Tranche], now: int) -> None:
    """Likewise, and give back what is left of all tranches of the worker."""
    sums: dict[tuple[str, Windows], Sum] = {}
    ours = {tranche.number for tranche in tranches if give_back(tree, worker, tranche, sums)}
    write_down(tree, worker, closings, ours, sums, now)


def write_down(
    tree: Tree, worker: int, closings: Closings, ours: AbstractSet[int], sums: dict[tuple[str, Windows], Sum], now: int
) -> None:
    """Add what requests cost to the sums, and write these and the records down.

    Args:
        tree: of the transaction.
        worker: whose requests they were.
        closings: the requests.
        ours: the numbers of the tranches that nobody else has booked.
        sums: what is to be written of accounts already.
        now: nanoseconds of the monotonic clock.
    """
    written: list[tuple[int, bytes]] = []
    for reservation in closings:
        pair = PAIR.pack(worker, reservation.token)
        if isinstance(reservation, Drawn) and reservation.tranche is not None:
            if reservation.record is not None and reservation.tranche.number in ours:
                written.append((reservation.token, reservation.record))
            continue
        if not tree.delete(RESERVATION + pair):
            continue
        for (name, limits), windows in zip(reservation.claims, reservation.windows, strict=True):
            total = sums.get((name, windows))
            if total is None:
                total = sums[name, windows] = Sum(limits)
            total.count += 1
            total.requests += reservation.requests
            total.reserved += reservation.tokens
            total.tokens += reservation.spent
        if reservation.record is not None:
            written.append((reservation.token, reservation.record))
    for (name, windows), total in sums.items():
        settle_sum(tree, ACCOUNT + record_name(name), windows, total, now)
    if written:
        first, _ = min(written)
        write(tree, JOURNAL + PAIR.pack(worker, first), [record for _, record in written])


def give_back(tree: Tree, worker: int, tranche: Tranche, sums: dict[tuple[str, Windows], Sum]) -> bool:
    """Add to the sums what a tranche was used for, and write down what of it runs; False: it was booked already."""
    if not tree.delete(tranche.key):
        return False
    running = tranche.running
    count = tranche.granted - len(running)
    reserved = tranche.granted_tokens
    for token, drawn in running.items():
        reserved -= drawn.tokens
        held = (tranche.claims, tranche.windows, drawn.tokens, drawn.will)
        tree.put(RESERVATION + PAIR.pack(worker, token), _encode(held))
    for (name, limits), windows in zip(tranche.claims, tranche.windows, strict=True):
        total = sums.get((name, windows))
        if total is None:
            total = sums[name, windows] = Sum(limits)
        total.count += count
        total.requests += count - tranche.requests
        total.reserved += reserved
        total.tokens += reserved - tranche.tokens
    return True


def settle_sum(tree: Tree, key: bytes, windows: Windows, total: Sum, now: int) -> None:
    """Put what requests cost in the place of what was reserved; an account that was forgotten meanwhile is opened."""
    state = read(tree, key)
    if state is None:
        add_account(tree, 1)
        state = account.forgotten(windows, total.count, total.reserved)
    account.settle(state, windows, total.limits, total.tokens - total.reserved, total.count - total.requests, now)
    tree.put(key, RECORD.pack(*state))


def book(tree: Tree, key: bytes, value: bytes) -> None:
    """Settle a reservation whose worker is gone, as its will says."""
    held = _decode(value)
    will = held.will
    tree.delete(key)
    for (name, limits), windows in zip(held.claims, held.windows, strict=True):
        settle_sum(tree, ACCOUNT + record_name(name), windows, Sum(limits, 1, 1, held.tokens, will.tokens), 0)
    write(tree, JOURNAL + key[len(RESERVATION) :], [will.record])


def book_tranche(tree: Tree, key: bytes, value: bytes, wills: Iterable[Entry]) -> None:
    """Settle a tranche whose worker is gone: what was drawn of it as the wills say, and nothing for what was not."""
    held = _decode_tranche(value)
    worker, number = PAIR.unpack(key[-PAIR.size :])
    tree.delete(key)
    drawn = [will for will in wills if will.tranche == number]
    requests, tokens = sum(will.requests for will in drawn), sum(will.tokens for will in drawn)
    for (name, limits), windows in zip(held.claims, held.windows, strict=True):
        total = Sum(limits, held.requests, requests, held.tokens, tokens)
        settle_sum(tree, ACCOUNT + record_name(name), windows, total, 0)
    # Who was killed behind the transaction that wrote the records has the wills of those booked, too: on a later sheet,
    # so that the ledger, which keeps the first of a request's, passes them over.
    running = [will for will in drawn if will.running]
    for start in range(0, len(running), SHEET):
        sheet = running[start : start + SHEET]
        write(tree, JOURNAL + PAIR.pack(worker, sheet[-1].token) + OF_WILLS, [will.record for will in sheet])


def write(tree: Tree, key: bytes, records: Sequence[bytes]) -> None:
    """Put a sheet of records into the journal; those for which that has no room are lost, and counted."""
    accounts, sheets, count, size, most, lost = COUNTS.unpack(tree.get(BOOKS) or NO_BOOKS)
    room = most - size - len(key)
    sheet = _encode(records)
    while len(sheet) > room and records:
        lost += 1
        records = records[:-1]
        sheet = _encode(records)
    if records:
        sheets += 1
        count += len(records)
        size += len(key) + len(sheet)
        tree.put(key, sheet)
    tree.put(BOOKS, COUNTS.pack(accounts, sheets, count, size, most, lost))


def journal(tree: Tree, most: int) -> list[Sheet]:
    """The sheets that stand first in the journal, until they have so many records."""
    found: list[Sheet] = []
    for key, value in records_between(tree, JOURNAL, AFTER_JOURNAL):
        found.append((key, sheet := _decode_sheet(value)))
        most -= len(sheet)
        if most <= 0:
            break
    return found


def forget(tree: Tree, keys: Iterable[bytes]) -> None:
    """Remove sheets that somebody has taken away."""
    accounts, sheets, count, size, most, lost = COUNTS.unpack(tree.get(BOOKS) or NO_BOOKS)
    with tree.cursor() as cursor:
        for key in keys:
            if key[:1] == JOURNAL and cursor.set_key(key):
                value = cursor.value()
                sheets -= 1
                count -= len(_decode_sheet(value))
                size -= len(key) + len(value)
                cursor.delete()
    tree.put(BOOKS, COUNTS.pack(accounts, sheets, count, size, most, lost))


def restore(tree: Tree, name: str, windows: Windows, day: tuple[int, int], month: tuple[int, int]) -> None:
    """See `Accounts.restore`."""
    key = ACCOUNT + record_name(name)
    state = read(tree, key)
    if state is None:
        add_account(tree, 1)
        state = list(NOTHING)
    account.restore(state, windows, day, month)
    tree.put(key, RECORD.pack(*state))


def standing(tree: Tree, organization: str, name: str, windows: Windows, now: int) -> Standing:
    """See `Accounts.standing`; what workers hold in tranches is not counted, and what has ended of it is in a tick."""
    state = read(tree, ACCOUNT + record_name(name)) or list(NOTHING)
    account.turn(state, windows)
    claims = (Claim(organization, UNLIMITED), Claim(name, UNLIMITED))
    return shown(tree, claims, (windows, windows), (account.standing(state, now),) * 2)[1]


def read(tree: Tree, key: bytes) -> State | None:
    """The account there."""
    value = tree.get(key)
    return list(RECORD.unpack(value)) if value else None


def add_account(tree: Tree, change: int) -> int:
    """Count accounts that come or go: how many there are now."""
    accounts, *rest = COUNTS.unpack(tree.get(BOOKS) or NO_BOOKS)
    tree.put(BOOKS, COUNTS.pack(accounts + change, *rest))
    return int(accounts) + change


def journal_counts(tree: Tree) -> JournalCounts:
    """How full the journal is."""
    _, _, count, size, _, lost = COUNTS.unpack(tree.get(BOOKS) or NO_BOOKS)
    return JournalCounts(count, size, lost)


def entries_of_books(tree: Tree) -> int:
    """How many of the tree's records are accounts and what belongs to them, reservations aside."""
    value = tree.get(BOOKS)
    if value is None:
        return 0
    accounts, sheets, *_ = COUNTS.unpack(value)
    return int(accounts) + int(sheets) + 2


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


def epoch(tree: Tree) -> str:
    """The name of this state's life."""
    return (tree.get(EPOCH) or b"").decode()


class AccountShelf:
    """How new accounts find room: there are no more than `most`."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._hand = ACCOUNT

    def make_room(self, tree: Tree, new: bytes, windows: Windows, now: int) -> None:
        """Count one that has come; where that is one too many, others of a sample are forgotten.

        The hand goes round the keys in order, so that nobody can choose among whom.
        """
        if add_account(tree, 1) <= self._most:
            return
        sample = list(records_between(tree, self._hand, AFTER_ACCOUNTS, EVICTION_SAMPLE))
        if len(sample) < EVICTION_SAMPLE:
            sample += records_between(tree, ACCOUNT, min(self._hand, AFTER_ACCOUNTS), EVICTION_SAMPLE - len(sample))
        self._hand = sample[-1][0] + b"\0"
        states = [(key, list(RECORD.unpack(value))) for key, value in sample if key != new]
        victims = account.choose_victims(states, windows, now)
        for key in victims:
            tree.delete(key)
        add_account(tree, -len(victims))
