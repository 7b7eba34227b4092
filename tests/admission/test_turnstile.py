"""A slot is a scope: whatever ends it gives the slot back, and a refusal is the caller's own limit."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from anyio.lowlevel import checkpoint

from gateway.admission.settings import AdmissionSettings
from gateway.admission.turnstile import Turnstile
from gateway.core.clock import SystemClock
from gateway.core.errors import QueueFullError, QueueTimeoutError
from gateway.store.memory import MemoryStore
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
    async with asyncio.timeout(5):
        while store.counts().queued != number:
            await checkpoint()


async def test_a_slot_is_held_within_its_scope_and_nowhere_else(store: MemoryStore) -> None:
    async with turnstile(store).slot(ADDRESS) as grant:
        assert grant.waited == 0.0
        assert store.counts().in_flight == 1
    assert store.counts().in_flight == 0


async def test_a_failure_gives_the_slot_back(store: MemoryStore) -> None:
    with pytest.raises(ZeroDivisionError):
        async with turnstile(store).slot(ADDRESS):
            raise ZeroDivisionError
    assert store.counts().in_flight == 0


async def test_a_slot_released_within_its_scope_is_not_released_again(store: MemoryStore) -> None:
    gate = turnstile(store, slots=2)
    async with gate.slot(ADDRESS), gate.slot(ADDRESS) as second:
        async with turnstile(store, slots=3).slot(ADDRESS):
            store.release(second)
        assert store.counts().in_flight == 1
    assert store.counts().in_flight == 0


async def test_a_full_queue_is_the_callers_limit_and_says_so_at_once(store: MemoryStore) -> None:
    gate = turnstile(store, queued=0)
    async with gate.slot(ADDRESS):
        with pytest.raises(QueueFullError, match="1 requests are running and 0 are waiting") as caught:
            await gate.slot(ADDRESS).__aenter__()
    assert (caught.value.status, caught.value.code, caught.value.retry_after) == (429, "queue_full", 20)


async def test_a_wait_that_is_over_is_the_callers_limit(store: MemoryStore) -> None:
    gate = turnstile(store, patience=0.01)
    async with gate.slot(ADDRESS):
        with pytest.raises(QueueTimeoutError) as caught:
            await gate.slot(ADDRESS).__aenter__()
    assert (caught.value.status, caught.value.code, caught.value.retry_after) == (429, "queue_timeout", 1)
    assert store.counts() == (0, 0, 0, ())


async def test_a_patience_of_nothing_refuses_at_once(store: MemoryStore) -> None:
    gate = turnstile(store, patience=0)
    async with gate.slot(ADDRESS):
        with pytest.raises(QueueTimeoutError):
            await gate.slot(ADDRESS).__aenter__()


async def test_whoever_leaves_the_queue_is_never_let_in(store: MemoryStore) -> None:
    gate = turnstile(store)

    async def visit() -> None:
        async with gate.slot(ADDRESS):
            raise AssertionError

    async with gate.slot(ADDRESS):
        leaving = asyncio.create_task(visit())
        await until_queued(store, 1)
        leaving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await leaving
    assert store.counts() == (0, 0, 0, ())


async def test_organizations_do_not_wait_for_each_other(store: MemoryStore) -> None:
    gate = turnstile(store)
    async with gate.slot(ADDRESS), gate.slot("198.51.100.1") as other:
        assert other.waited == 0.0
