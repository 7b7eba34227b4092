"""A slot is one of few, given back once; a refusal is the caller's own limit."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from anyio.lowlevel import checkpoint

from gateway.admission.settings import AdmissionSettings
from gateway.admission.turnstile import Turnstile
from gateway.core.clock import SystemClock
from gateway.core.errors import QueueFullError, QueueTimeoutError, RateLimitedError
from gateway.core.refusal import Refusal
from gateway.store.memory import MemoryStore
from gateway.store.protocol import Grant
from gateway.store.settings import StoreSettings

pytestmark = pytest.mark.anyio

ADDRESS = "203.0.113.7"


@pytest.fixture
async def store() -> AsyncIterator[MemoryStore]:
    opened = MemoryStore(StoreSettings(), SystemClock())
    await opened.open()
    yield opened
    await opened.close()


def turnstile(store: MemoryStore, *, slots: int = 1, patience: float = 20, queued: int = 5) -> Turnstile:
    settings = AdmissionSettings(max_inflight_per_ip=slots, queue_timeout_secs=patience, max_queued_per_ip=queued)
    return Turnstile(settings, store)


async def until_queued(store: MemoryStore, number: int) -> None:
    async with asyncio.timeout(30):
        while store.counts().queued != number:
            await checkpoint()


@asynccontextmanager
async def slot(gate: Turnstile, address: str = ADDRESS) -> AsyncIterator[Grant]:
    grant = await gate.enter(address)
    try:
        yield grant
    finally:
        gate.leave(grant)


async def test_a_slot_is_held_until_it_is_left(store: MemoryStore) -> None:
    async with slot(turnstile(store)) as grant:
        assert grant.waited == 0.0
        assert store.counts().in_flight == 1
    assert store.counts().in_flight == 0


async def test_a_slot_left_twice_is_given_back_once(store: MemoryStore) -> None:
    gate = turnstile(store, slots=2)
    async with slot(gate), slot(gate) as second:
        async with slot(turnstile(store, slots=3)):
            gate.leave(second)
        assert store.counts().in_flight == 1
    assert store.counts().in_flight == 0


async def test_a_full_queue_is_the_callers_limit_and_says_so_at_once(store: MemoryStore) -> None:
    gate = turnstile(store, queued=0)
    async with slot(gate):
        with pytest.raises(QueueFullError, match="1 requests are running and 0 are waiting") as caught:
            await gate.enter(ADDRESS)
    assert (caught.value.status, caught.value.code, caught.value.retry_after) == (429, "queue_full", 20)


async def test_a_wait_that_is_over_is_the_callers_limit(store: MemoryStore) -> None:
    gate = turnstile(store, patience=0.01)
    async with slot(gate):
        with pytest.raises(QueueTimeoutError, match=r"no slot came free for this one within 0\.01 s") as caught:
            await gate.enter(ADDRESS)
    assert (caught.value.status, caught.value.code, caught.value.retry_after) == (429, "queue_timeout", 1)
    assert store.counts() == (0, 0, 0, ())


async def test_a_patience_of_nothing_refuses_at_once(store: MemoryStore) -> None:
    gate = turnstile(store, patience=0)
    async with slot(gate):
        with pytest.raises(QueueTimeoutError):
            await gate.enter(ADDRESS)


async def test_whoever_leaves_the_queue_is_never_let_in(store: MemoryStore) -> None:
    gate = turnstile(store)
    async with slot(gate):
        leaving = asyncio.create_task(gate.enter(ADDRESS))
        await until_queued(store, 1)
        leaving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await leaving
    assert store.counts() == (0, 0, 0, ())


async def test_organizations_do_not_wait_for_each_other(store: MemoryStore) -> None:
    gate = turnstile(store)
    async with slot(gate), slot(gate, "198.51.100.1") as other:
        assert other.waited == 0.0


@pytest.mark.parametrize(("patience", "queued"), [(20.0, 0), (0.01, 5)])
async def test_a_refusal_for_want_of_a_keys_slot_is_told_from_one_for_the_organizations(
    store: MemoryStore, patience: float, queued: int
) -> None:
    gate = turnstile(store, patience=patience, queued=queued)
    async with slot(gate):
        with pytest.raises(RateLimitedError) as caught:
            await gate.enter(ADDRESS)
        assert caught.value.refusal in {Refusal.QUEUE_FULL, Refusal.QUEUE_TIMEOUT}
    grant = await gate.enter_by_key("7f3a", 1)
    with pytest.raises(RateLimitedError) as caught:
        await gate.enter_by_key("7f3a", 1)
    assert caught.value.refusal is Refusal.KEY_SLOTS
    gate.leave(grant)
