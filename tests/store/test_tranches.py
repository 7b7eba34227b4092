"""What a worker holds of an account that is far from its limits is missed by nobody, and lost by no kill."""

import os
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import lmdb
import pytest

from gateway.core.principal import UNLIMITED, AccountLimits
from gateway.store import account, parting, wills
from gateway.store.accounts import Claim, OverLimitError, Reservation, Will
from gateway.store.errors import StoreUnavailableError
from gateway.store.holdings import TRANCHE_REQUESTS
from gateway.store.lmdb import LmdbStore
from gateway.store.lmdb_accounts import BATCH
from gateway.store.records import AFTER_TRANCHES, TRANCHE
from gateway.store.tranche import Tranche
from gateway.store.tree import records_between
from tests.store.conftest import HandClock
from tests.store.host import Host
from tests.store.test_accounts import TODAY, TOMORROW, records, spent
from tests.store.test_lmdb_accounts import reservations

pytestmark = pytest.mark.anyio

FAR = Claim("org:acme", AccountLimits(tokens_per_day=1_000_000, requests_per_day=10_000))
KEY = Claim("key:1", AccountLimits(tokens_per_month=2_000_000))


async def reserve(
    store: LmdbStore, *claims: Claim, tokens: int = 100, record: bytes = b"died", windows: Any = TODAY
) -> Reservation:
    return await store.accounts.reserve(claims or (FAR,), tokens=tokens, windows=windows, will=Will(7, record))


def end(store: LmdbStore, reservation: Reservation, tokens: int = 10, record: bytes | None = b"ended") -> None:
    store.accounts.settle(reservation, requests=1, tokens=tokens, record=record)


def tranches(store: LmdbStore) -> int:
    return store._decide(lambda tree: sum(1 for _ in records_between(tree, TRANCHE, AFTER_TRANCHES)))


def transactions(store: LmdbStore) -> int:
    """How many have changed something; LMDB numbers them."""
    return store._decide(lambda tree: cast("lmdb.Transaction", tree).id())


async def holding(store: LmdbStore, *claims: Claim) -> None:
    """Have a worker hold a tranche: an account's first request since the last tick begins none."""
    for _ in range(2):
        end(store, await reserve(store, *claims), record=None)
    assert tranches(store)


@pytest.fixture
async def host(directory: Path, clock: HandClock) -> Any:
    opened = Host(directory, clock)
    for _ in range(2):
        await opened.open_worker()
    yield opened
    await opened.close()


async def test_requests_far_from_their_limits_share_transactions(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    one, other = host.workers
    await holding(one)
    with monkeypatch.context() as patch:
        patch.setattr(one._accounts, "_decide", None)
        for _ in range(20):
            end(one, await reserve(one))
    host.look_round()
    assert await spent(other.accounts, FAR) == (22, 220, 22, 220)
    assert await records(other.accounts) == [b"ended"] * 20
    assert (tranches(one), reservations(one)) == (0, 0)


async def test_what_an_account_stands_at_counts_what_is_drawn_and_not_what_is_held(host: Host) -> None:
    one = host.workers[0]
    await holding(one)
    running = await reserve(one, tokens=300)
    again = await reserve(one)
    assert running.used()[0].day_tokens == 100 + 10 + 300  # the first was not settled when the tranche began
    assert (again.used()[0].day_requests, again.used()[0].month_tokens) == (4, 100 + 10 + 400)


async def test_what_others_hold_is_not_shown_as_used(host: Host) -> None:
    one, other = host.workers
    for worker in (one, other):
        await holding(worker, FAR, KEY)
    assert tranches(one) == 2
    running = await reserve(other, FAR, KEY)
    mine = (running.used()[0].day_requests, running.used()[1].month_tokens)
    assert mine == (4, 100 + 100 + 10 + 100)  # both workers' first ones are not written down yet
    for claim in (FAR, KEY):
        at = await one.accounts.standing(claim.account, TODAY)
        assert at.month_requests <= 5
        assert at.day_tokens <= 5 * 100
    host.look_round()
    assert (await spent(one.accounts, FAR))[0] == 5


async def test_a_key_of_another_organization_is_shown_without_what_is_held_of_that(host: Host) -> None:
    one, other = host.workers
    await holding(one, FAR)
    lone = await reserve(other, Claim("org:lone", FAR.limits), KEY)
    assert [at.day_requests for at in lone.used()] == [1, 1]


async def test_what_runs_when_a_tranche_ends_is_settled_on_its_own(host: Host) -> None:
    one, other = host.workers
    await holding(one, FAR, KEY)
    running = [await reserve(one, FAR, KEY) for _ in range(3)]
    host.look_round()
    assert reservations(one) == 3
    assert await spent(other.accounts, FAR) == (5, 320, 5, 320)
    for reservation in running:
        end(one, reservation, 1000)
        end(one, reservation, 1000)
    one.accounts.settle(await reserve(one, FAR, KEY), requests=0, tokens=0, record=None)
    host.look_round()
    assert await spent(other.accounts, FAR) == await spent(other.accounts, KEY) == (5, 3020, 5, 3020)
    assert await records(other.accounts) == [b"ended"] * 3
    assert reservations(one) == 0


async def test_nobody_is_refused_for_what_another_worker_holds(host: Host) -> None:
    one, other = host.workers
    await holding(one)
    running = await reserve(one)
    assert tranches(other) == 1
    await reserve(other, tokens=1_000_000 - 20 - 100)
    with pytest.raises(OverLimitError):
        await reserve(other, tokens=1)
    end(one, running, 99, None)
    host.look_round()
    await reserve(other, tokens=1)
    with pytest.raises(OverLimitError):
        await reserve(one, tokens=1)


async def test_what_is_held_of_a_key_at_another_address_is_neither_shown_nor_missed(host: Host) -> None:
    one, other = host.workers
    key = Claim("key:1", AccountLimits(tokens_per_day=1_000_000))
    here, there = (Claim(f"ip:192.0.2.{number}", UNLIMITED) for number in (1, 2))
    await holding(one, here, key)
    lone = await reserve(other, there, key)
    assert lone.used()[1].day_requests == 2  # the second one's end is not written down yet
    assert (await other.accounts.standing(key.account, TODAY)).day_requests == 2
    assert tranches(other) == 1
    await reserve(other, there, key, tokens=1_000_000 - 20 - 100)
    with pytest.raises(OverLimitError):
        await reserve(other, there, key, tokens=1)


async def test_only_those_are_called_who_hold_some_of_what_is_missing(host: Host) -> None:
    one, other = host.workers
    claims = Claim("ip:192.0.2.1", UNLIMITED), Claim("key:1", AccountLimits(requests_per_day=1))
    await holding(one)
    await reserve(other, *claims)
    with pytest.raises(OverLimitError):
        await reserve(other, *claims)
    assert tranches(one) == 1


async def test_what_was_lent_is_drawn_from_without_asking_until_it_is_given_back(host: Host) -> None:
    one, other = host.workers
    await holding(one)
    one._accounts.write()
    assert one.accounts.lent((FAR,), TODAY) is None
    running = await reserve(one)
    share = one.accounts.lent((FAR,), TODAY)
    assert share is not None
    assert (one.accounts.lent((FAR,), TOMORROW), one.accounts.lent((KEY,), TODAY)) == (None, None)
    assert share.draw(share.tokens + 1, 7, b"died") is None
    left = share.requests
    refused = share.draw(100, 7, b"died")
    assert refused is not None
    one.accounts.settle(refused, requests=0, tokens=0, record=None)
    assert share.requests == left
    drawn = share.draw(100, 7, b"died")
    assert drawn is not None
    end(one, drawn, 50)
    host.look_round()
    assert share.draw(1, 7, b"died") is None
    assert isinstance(share, Tranche)
    assert share.running == {}  # who still knows the share keeps none of its requests
    end(one, running)
    host.look_round()
    assert await spent(other.accounts, FAR) == (4, 20 + 50 + 10, 4, 20 + 50 + 10)
    assert await records(other.accounts) == [b"ended"] * 2


async def test_a_worker_holds_nothing_while_others_call_for_it(host: Host) -> None:
    one, _ = host.workers
    await holding(one)
    one._called_for()
    assert tranches(one) == 0
    for _ in range(3):
        await reserve(one)
        assert tranches(one) == 0
        host.look_round()
    await holding(one)


@pytest.mark.parametrize(
    "limits",
    [
        AccountLimits(requests_per_day=100),
        AccountLimits(tokens_per_day=10_000),
        AccountLimits(tokens_per_month=10_000),
        AccountLimits(requests_per_minute=100_000),
        AccountLimits(tokens_per_minute=100_000_000),
    ],
)
async def test_near_a_limit_and_with_one_for_a_minute_nothing_is_held(host: Host, limits: AccountLimits) -> None:
    for _ in range(4):
        await reserve(host.workers[0], FAR, Claim("key:1", limits))
    assert tranches(host.workers[0]) == 0


async def test_a_dead_workers_tranche_is_booked_as_the_wills_say_and_the_rest_is_given_back(host: Host) -> None:
    dies, lives = host.workers
    await holding(dies, FAR, KEY)
    dies._accounts.write()
    await reserve(dies, FAR, KEY, record=b"0")
    end(dies, await reserve(dies, FAR, KEY, record=b"1"), 50, b"ended, and not written")
    host.crash(dies)
    host.look_round()
    host.look_round()
    assert await records(lives.accounts) == [b"0", b"1"]
    assert await spent(lives.accounts, FAR) == await spent(lives.accounts, KEY) == (4, 20 + 14, 4, 20 + 14)
    assert (tranches(lives), reservations(lives)) == (0, 0)
    assert not wills.read(dies._desk._directory, dies._desk.worker)


async def test_what_was_written_before_a_kill_is_not_booked_again(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    dies, lives = host.workers
    await holding(dies)
    end(dies, await reserve(dies), 50)
    monkeypatch.setattr(dies._desk.wills, "clear", lambda: None)  # killed between the two
    dies._accounts.write()
    host.crash(dies)
    host.look_round()
    assert await records(lives.accounts) == [b"ended"]
    assert (await spent(lives.accounts, FAR))[:2] == (3, 70)


async def test_records_are_written_while_the_tranche_goes_on(host: Host) -> None:
    one, other = host.workers
    await holding(one)
    one._accounts.write()
    running = await reserve(one)
    before = transactions(one)
    for _ in range(BATCH):
        end(one, await reserve(one), 50)
    assert (tranches(one), reservations(one)) == (1, 0)
    assert transactions(one) == before + 1
    assert await records(other.accounts) == [b"ended"] * BATCH
    end(one, running)
    assert (await spent(one.accounts, FAR))[:2] == (3 + BATCH, 20 + 50 * BATCH + 10)


async def test_what_was_written_of_a_tranche_that_went_on_costs_what_it_has_cost(host: Host) -> None:
    dies, lives = host.workers
    await holding(dies)
    dies._accounts.write()
    await reserve(dies)
    for _ in range(BATCH):
        end(dies, await reserve(dies), 50)
    dies.accounts.settle(await reserve(dies), requests=0, tokens=0, record=None)
    host.crash(dies)
    host.look_round()
    assert await records(lives.accounts) == [b"died"] + [b"ended"] * BATCH
    assert (await spent(lives.accounts, FAR))[:2] == (3 + BATCH, 20 + 7 + 50 * BATCH)


async def killed_behind_its_write(host: Host, worker: LmdbStore, monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """A worker that has written a sheet, and never came to tell its wills of that: what the journal is to have."""
    await holding(worker)
    worker._accounts.write()
    await reserve(worker)
    for _ in range(BATCH):  # an earlier sheet, of which its wills know
        end(worker, await reserve(worker), 30)
    monkeypatch.setattr(worker._desk.wills, "settle", lambda *_: None)
    for number in range(BATCH):
        end(worker, await reserve(worker, record=b"will %02d" % number), 50, b"record %02d" % number)
    end(worker, await reserve(worker, record=b"not written"), 50)
    host.crash(worker)
    told = [b"record %02d" % number for number in range(BATCH)]
    return [b"died", *[b"ended"] * BATCH, b"not written", *told]


USED = (4 + 2 * BATCH, 20 + 7 + 30 * BATCH + 50 * BATCH + 7)
"""The two that began the tranche, the one that ran, two sheets, and one that had no time to be written."""


async def test_what_is_on_the_last_sheet_of_who_was_killed_behind_it_is_booked_once(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    dies, lives = host.workers
    told = await killed_behind_its_write(host, dies, monkeypatch)
    await lives.accounts.forget([sheet.key for sheet in await lives.accounts.journal(1)])  # it is booked meanwhile
    host.look_round()
    assert await records(lives.accounts) == told[:1] + told[1 + BATCH :]
    assert (await spent(lives.accounts, FAR))[:2] == USED


async def test_the_next_gateway_knows_of_the_last_sheet_of_a_worker_that_was_killed_behind_it(
    directory: Path, clock: HandClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = Host(directory, clock)
    told = await killed_behind_its_write(host, await host.open_worker(), monkeypatch)
    host._opened[0].close()
    store = LmdbStore(host._settings, clock)
    await store.open()
    assert await records(store.accounts) == told
    assert (await spent(store.accounts, FAR))[:2] == USED
    assert store._decide(parting.workers) == [store._desk.worker]
    await store.close()


async def test_a_worker_that_was_taken_for_dead_books_nothing_of_its_tranche_again(host: Host) -> None:
    one, other = host.workers
    await holding(one)
    one._accounts.write()
    running, ended = await reserve(one), await reserve(one)
    end(one, ended)
    other._desk._bury(one._desk.worker)
    one._accounts.write()
    end(one, running)
    assert (await spent(one.accounts, FAR))[:2] == (4, 34)
    assert await records(other.accounts) == [b"died"] * 2


async def test_tranches_of_workers_that_were_all_killed_are_booked_when_the_next_one_comes(
    directory: Path, clock: HandClock
) -> None:
    host = Host(directory, clock)
    killed = await host.open_worker()
    await holding(killed)
    end(killed, await reserve(killed, record=b"0"))
    host.crash(killed)
    host._opened[0].close()
    store = LmdbStore(host._settings, clock)
    await store.open()
    assert await spent(store.accounts, FAR) == (3, 7 + 10 + 7, 3, 7 + 10 + 7)  # the second had nothing to be written
    assert await records(store.accounts) == [b"0", b"died"]
    await store.close()
    assert not wills.read(directory, 1)


async def test_another_day_begins_another_tranche(host: Host) -> None:
    one = host.workers[0]
    await holding(one)
    await reserve(one, windows=TOMORROW)
    assert tranches(one) == 1
    host.look_round()
    assert await spent(one.accounts, FAR, TOMORROW) == (1, 100, 3, 120)


async def test_a_limit_that_is_lowered_while_a_tranche_is_held_holds_at_once(host: Host) -> None:
    one = host.workers[0]
    await holding(one)
    lowered = Claim(FAR.account, AccountLimits(requests_per_day=3))
    await reserve(one, lowered)
    with pytest.raises(OverLimitError):
        await reserve(one, lowered)


async def test_a_request_that_a_tranche_has_no_room_for_begins_another(host: Host) -> None:
    one = host.workers[0]
    await holding(one)
    await reserve(one, tokens=7900)
    assert tranches(one) == 1
    for _ in range(TRANCHE_REQUESTS + 1):
        await reserve(one, tokens=0)
    assert tranches(one) == 1
    host.look_round()
    assert await spent(one.accounts, FAR) == (TRANCHE_REQUESTS + 4, 7920, TRANCHE_REQUESTS + 4, 7920)


@pytest.fixture
def book_of_six(monkeypatch: pytest.MonkeyPatch) -> None:
    """Room for six wills of 10,000 bytes."""
    monkeypatch.setattr(wills, "BOOK_BYTES", 64 * 1024)


@pytest.mark.usefixtures("book_of_six")
async def test_more_wills_than_a_book_has_room_for_are_in_the_tree(host: Host) -> None:
    dies, lives = host.workers
    for number in range(10):
        await reserve(dies, record=b"%d" % number + os.urandom(10_000))
    assert reservations(dies) == 1 + 6  # the first one and a book full; the others are in the next one
    host.crash(dies)
    for _ in range(2):
        host.look_round()
    assert (await spent(lives.accounts, FAR))[:2] == (10, 70)
    assert sorted(record[:1] for record in await records(lives.accounts)) == [b"%d" % number for number in range(10)]


async def test_a_tranche_that_cannot_be_written_goes_on(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    one, other = host.workers
    await holding(one)

    def fail(*_: object) -> None:
        raise StoreUnavailableError("full")

    with monkeypatch.context() as patch:
        patch.setattr(one._accounts, "_decide", fail)
        end(one, await reserve(one))
        one._accounts.write()
        end(one, await reserve(one))
        assert one._accounts.owes
    host.look_round()
    assert (await spent(other.accounts, FAR))[:2] == (4, 40)
    assert await records(other.accounts) == [b"ended"] * 2


async def test_a_worker_holds_a_bounded_number_of_tranches(host: Host) -> None:
    one = host.workers[0]
    for number in range(70):
        await holding(one, Claim(f"org:{number}", FAR.limits))
        assert tranches(one) <= 32


@pytest.mark.parametrize("end_of", [lambda path: path.unlink(), lambda path: path.write_bytes(b"\xff" * 100)])
def test_wills_that_cannot_be_read_are_none(directory: Path, end_of: Callable[[Path], object]) -> None:
    book = wills.WillBook(directory, 3)
    book.add(1, 2, 30, b"record")
    assert wills.read(directory, 3) == [wills.Entry(1, 2, 30, 1, running=True, record=b"record")]
    book.close()
    end_of(directory / "3.wills")
    assert all(len(entry.record) <= 100 for entry in wills.read(directory, 3))


def test_a_will_is_there_or_not_whenever_a_kill_comes(directory: Path) -> None:
    book = wills.WillBook(directory, 3)
    for token in range(7):
        book.add(1, token, 30, b"an old record of another length" * 3)
    book.clear()
    book.add(2, 7, 30, b"first")
    start = book.add(2, 8, 30, b"second")
    assert start is not None
    whole = wills.path_of(directory, 3).read_bytes()
    entries = wills.read(directory, 3)
    assert [entry.token for entry in entries] == [7, 8]
    for written in range(start, book._end):  # a kill while zeroes, which come first, are written over
        wills.path_of(directory, 3).write_bytes(
            whole[:written] + bytes(book._end + 8 - written) + whole[book._end + 8 :]
        )
        assert wills.read(directory, 3) == entries[: 2 if written > book._end - 8 else 1]
    book.close()


def test_what_is_packed_is_zeroed_first_and_written_in_order() -> None:
    page = bytearray(b"\xff" * 32)
    with pytest.raises(struct.error):
        struct.pack_into("=3Q", page, 0, 1, -1, 1)  # the second does not fit: where it stops, a kill might
    assert page == struct.pack("=3Q", 1, 0, 0) + b"\xff" * 8


def test_a_share_is_small_and_of_the_tightest_limit() -> None:
    record = account.RECORD.pack(0, 0, TODAY.day, 10, 36_000, TODAY.month, 10, 36_000, 0, 0)
    limits = AccountLimits(tokens_per_day=100_000, tokens_per_month=1_000_000, requests_per_month=74)
    assert account.share(record, limits, TODAY) == (4, 4000)
    assert account.share(record, limits, TOMORROW) == (4, 100_000 // 16)
