"""Every script names keys of one slot only, and works on a server that is part of a cluster."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import SecretStr

from gateway.core.clock import SystemClock
from gateway.core.principal import UNLIMITED
from gateway.store.accounts import Claim, Will, Windows
from gateway.store.errors import NoPlaceError
from gateway.store.memory import MemoryStore
from gateway.store.protocol import Bucket
from gateway.store.records import record_name
from gateway.store.settings import StoreKind, StoreSettings
from gateway.store.valkey.scripts import ACCOUNTS, LINE, SEATS, bucket_keys, keys_of
from gateway.store.valkey.store import ValkeyStore
from tests.store.valkey.server import Server, free_port, running

pytestmark = pytest.mark.anyio

NAMES = ("ip:203.0.113.7", "ip:2001:db8::/64", "org:acme", "org:a}b", "org:{}", "x" * 500, "")


@pytest.fixture(scope="module")
def node() -> Iterator[Server]:
    port = str(free_port())
    with running("--cluster-enabled", "yes", "--port", port, "--bind", "127.0.0.1") as server:
        server.ask("CLUSTER", "ADDSLOTSRANGE", "0", "16383")
        while b"cluster_state:ok" not in server.ask("CLUSTER", "INFO"):
            pass
        yield server


@pytest.mark.parametrize("name", NAMES)
def test_all_keys_of_a_script_stand_in_one_slot(node: Server, name: str) -> None:
    for keys in (
        [
            *bucket_keys(record_name(name)),
            *keys_of(LINE + record_name(name)),
            *keys_of(ACCOUNTS + record_name(name)),
        ],
        keys_of(SEATS + record_name(name)),
    ):
        assert len({node.ask("CLUSTER", "KEYSLOT", key) for key in keys}) == 1


async def test_a_node_of_a_cluster_runs_every_script(node: Server, directory: Path) -> None:
    settings = StoreSettings(
        limiter_store=StoreKind.MEMORY,
        limiter_path=directory,
        redis_url=SecretStr(node.url),
        redis_timeout_ms=1000,
    )
    clock = SystemClock()
    store = ValkeyStore(settings, clock, MemoryStore(settings, clock))
    await store.open()
    for name in NAMES:
        assert (await store.take(name, Bucket(1, 1))).granted
        grant = await store.acquire(name, limit=1, max_queued=1, patience=20)
        waiting = asyncio.create_task(store.acquire(name, limit=1, max_queued=1, patience=20))
        while (await refreshed(store))[1] != 1:
            pass
        with pytest.raises(NoPlaceError):
            await store.acquire(name, limit=1, max_queued=1, patience=20)
        store.release(grant)
        store.release(await waiting)
        seat = await store.seat(name, name, candidates=lambda: NAMES, limit=1, max_queued=0, patience=0)
        store.leave_seat(seat)
        assert await store.next_turn(name) == 0
        organization = f"org:{name}"
        claims = Claim(organization, UNLIMITED), Claim("key:1", UNLIMITED)
        held = await store.accounts.reserve(claims, tokens=7, windows=Windows(2, 1), will=Will(0, b""))
        store.accounts.settle(held, requests=1, tokens=5, record=None)
        await store.accounts.restore("key:1", Windows(2, 1), (1, 1), (1, 1), organization)
        assert (await store.accounts.standing("key:1", Windows(2, 1), organization)).day_tokens == 6
    await store._beat()
    assert await refreshed(store) == (0, 0)
    assert not store.degraded
    assert not store.outages
    await store.close()


async def refreshed(store: ValkeyStore) -> tuple[int, int]:
    await store.refresh()
    return store.counts().in_flight, store.counts().queued
