"""How do accounts stand in the tree? What a transaction counts in them, and who makes room for a new one."""

from collections.abc import Sequence

from msgspec import Struct

from gateway.core.principal import AccountLimits
from gateway.store import account
from gateway.store.account import NOTHING, RECORD, State
from gateway.store.accounts import Claim, Standing, Windows
from gateway.store.choices import EVICTION_SAMPLE
from gateway.store.journal import NO_BOOKS
from gateway.store.records import ACCOUNT, AFTER_ACCOUNTS, BOOKS, COUNTS, record_name
from gateway.store.tree import Tree, records_between


class Sum(Struct, gc=False):
    """What requests of one account and window cost together, and what had been reserved for them."""

    limits: AccountLimits
    count: int = 0
    requests: int = 0
    reserved: int = 0
    tokens: int = 0


class Sums(dict[tuple[str, Windows], Sum]):
    """What is to be written of accounts, by their names and windows."""

    def of(self, claim: Claim, windows: Windows) -> Sum:
        """That of a claim, opened if need be."""
        found = self.get((claim.account, windows))
        if found is None:
            found = self[claim.account, windows] = Sum(claim.limits)
        return found


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


def count(
    tree: Tree, claims: Sequence[Claim], amounts: tuple[int, int], when: tuple[Windows, int], shelf: AccountShelf
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


def learn(
    tree: Tree,
    claims: Sequence[Claim],
    decided: Sequence[tuple[Windows, Standing]],
    when: tuple[Windows, int],
    shelf: AccountShelf,
) -> None:
    """Have the accounts stand as they do in another store."""
    windows, now = when
    for (name, _), (counts_in, at) in zip(claims, decided, strict=True):
        key = ACCOUNT + record_name(name)
        known = tree.get(key) is not None
        tree.put(key, RECORD.pack(*account.state_of(at, counts_in, now)))
        if not known:
            shelf.make_room(tree, key, windows, now)


def settle_sum(tree: Tree, key: bytes, windows: Windows, total: Sum, now: int) -> None:
    """Put what requests cost in the place of what was reserved; an account that was forgotten meanwhile is opened."""
    state = read(tree, key)
    if state is None:
        add_account(tree, 1)
        state = account.forgotten(windows, total.count, total.reserved)
    account.settle(state, windows, total.limits, total.tokens - total.reserved, total.count - total.requests, now)
    tree.put(key, RECORD.pack(*state))


def settle_claims(
    tree: Tree, claims: Sequence[Claim], windows: Sequence[Windows], cost: tuple[int, int, int, int]
) -> None:
    """Likewise, for what a dead worker left: the same cost in each account, a `Sum` but for its limits."""
    for (name, limits), counts_in in zip(claims, windows, strict=True):
        settle_sum(tree, ACCOUNT + record_name(name), counts_in, Sum(limits, *cost), 0)


def restore(tree: Tree, name: str, windows: Windows, day: tuple[int, int], month: tuple[int, int]) -> None:
    """See `Accounts.restore`."""
    key = ACCOUNT + record_name(name)
    state = read(tree, key)
    if state is None:
        add_account(tree, 1)
        state = list(NOTHING)
    account.restore(state, windows, day, month)
    tree.put(key, RECORD.pack(*state))


def page(tree: Tree, after: bytes, most: int, windows: Windows, now: int) -> list[tuple[bytes, Standing]]:
    """See `Accounts.page`."""
    found = []
    for key, value in records_between(tree, ACCOUNT + after + b"\0", AFTER_ACCOUNTS, most):
        state = list(RECORD.unpack(value))
        account.turn(state, windows)
        found.append((key[len(ACCOUNT) :], account.standing(state, now)))
    return found


def read(tree: Tree, key: bytes) -> State | None:
    """The account there."""
    value = tree.get(key)
    return list(RECORD.unpack(value)) if value else None


def add_account(tree: Tree, change: int) -> int:
    """Count accounts that come or go: how many there are now."""
    accounts, *rest = COUNTS.unpack(tree.get(BOOKS) or NO_BOOKS)
    tree.put(BOOKS, COUNTS.pack(accounts + change, *rest))
    return int(accounts) + change
