"""Each decision has a word under which it is timed, and one of 31 is."""

import signal
from collections import Counter
from pathlib import Path
from typing import Any

import lmdb
import pytest
from pydantic import SecretStr

from gateway.core.clock import SystemClock
from gateway.store import booking, eviction, holdings, journal, parting, seating, shelf, slots
from gateway.store.choices import StoreKind
from gateway.store.errors import StoreUnavailableError
from gateway.store.factory import open_store
from gateway.store.protocol import Bucket, LimiterStore
from gateway.store.settings import StoreSettings
from gateway.store.subjects import SAMPLE, samples, subject_of, subjects
from gateway.store.tree import Tree
from tests.store.valkey.server import running

pytestmark = pytest.mark.anyio


class Told:
    """`Timings` that remember."""

    def __init__(self) -> None:
        self.seconds: list[float] = []
        self.done = Counter[str]()
        self.failures = Counter[str]()

    def took(self, operation: str, seconds: float) -> None:
        self.done[operation] += 1
        self.seconds.append(seconds)

    def failed(self, operation: str) -> None:
        self.failures[operation] += 1


def test_decisions_are_named_by_what_they_are_about() -> None:
    named: dict[str, list[object]] = {
        "bucket": [eviction.BucketShelf(1, 1, 1.0).take],
        "slot": [slots.enter, slots.leave],
        "turn": [slots.next_turn],
        "seat": [seating.enter, seating.leave],
        "account": [booking.reserve, holdings.hand_out, shelf.learn],
        "journal": [journal.first],
        "upkeep": [parting.join, lambda tree: tree],
    }
    for subject, decisions in named.items():
        assert {subject_of(decision) for decision in decisions} == {subject}
    assert set(subjects(shared=False)) == named.keys()
    assert {name for name in subjects(shared=True) if name not in named} == {
        f"server_{subject}" for subject in ("bucket", "slot", "seat", "account", "upkeep")
    }


def test_one_decision_of_so_many_is_a_sample_the_first_among_them() -> None:
    drawn = samples()
    assert [next(drawn) for _ in range(2 * SAMPLE)] == [True, *[False] * (SAMPLE - 1)] * 2


def store_in(directory: Path, told: Told, **shared: Any) -> LimiterStore:
    settings = StoreSettings(limiter_store=StoreKind.LMDB, limiter_path=directory, **shared)
    return open_store(settings, SystemClock(), timings=told)


async def test_a_sample_of_a_workers_decisions_is_timed(tmp_path: Path) -> None:
    told = Told()
    store = store_in(tmp_path, told)
    await store.open()
    before = sum(told.done.values())
    for _ in range(10 * SAMPLE):
        await store.next_turn("chat")
    await store.close()
    assert told.done["turn"] in {9, 10, 11}  # a tick may have come between
    assert before <= sum(told.done.values()) <= before + 15
    assert all(0 < seconds < 10 for seconds in told.seconds)
    assert not told.failures


async def test_each_decision_that_cannot_be_made_is_told_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: Tree, name: bytes) -> int:
        raise lmdb.MapFullError(str(name))

    full.__module__ = slots.__name__
    told = Told()
    store = store_in(tmp_path, told)
    await store.open()
    await store.take("one", Bucket(1.0, 5.0))
    monkeypatch.setattr(slots, "next_turn", full)
    for _ in range(3):
        with pytest.raises(StoreUnavailableError):
            await store.next_turn("chat")
    monkeypatch.undo()
    await store.close()
    assert told.failures == {"turn": 3}


async def test_who_is_refused_for_want_of_room_is_told_of_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told = Told()
    store = store_in(tmp_path, told)
    await store.open()
    monkeypatch.setattr("gateway.store.lmdb.CLAIMS_SHARE", 0.0)
    with pytest.raises(StoreUnavailableError, match="Too many requests"):
        await store.acquire("one", limit=1, max_queued=0, patience=0.0)
    await store.close()
    assert told.failures == {"slot": 1}


async def test_what_the_server_of_several_hosts_decides_is_told_of_under_names_of_its_own(tmp_path: Path) -> None:
    told = Told()
    with running() as server:
        url = SecretStr(server.url)
        settings = StoreSettings(
            limiter_store=StoreKind.LMDB, limiter_path=tmp_path, redis_url=url, redis_timeout_ms=500
        )
        store = open_store(settings, SystemClock(), timings=told)
        await store.open()
        for _ in range(3 * SAMPLE):
            await store.take("one", Bucket(1000.0, 1000.0))
        assert 2 <= told.done["server_bucket"] <= 4
        assert not told.failures
        server.send(signal.SIGSTOP)
        await store.take("one", Bucket(1000.0, 1000.0))
        assert told.failures["server_bucket"] == 1
        await store.close()
