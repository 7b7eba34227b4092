"""In a cluster all keys stand on one node, which is found from any other, and found again when they move."""

import asyncio
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from pydantic import SecretStr

from gateway.core.clock import SystemClock
from gateway.core.principal import UNLIMITED
from gateway.store.accounts import Claim, Will
from gateway.store.choices import StoreKind
from gateway.store.errors import NoPlaceError
from gateway.store.memory import MemoryStore
from gateway.store.protocol import Bucket
from gateway.store.records import record_name
from gateway.store.settings import StoreSettings
from gateway.store.valkey.address import Address
from gateway.store.valkey.connection import LostError
from gateway.store.valkey.scripts import (
    ACCOUNTS,
    CIRCUITS,
    LAYOUT,
    LINE,
    SEATS,
    WORKERS,
    bucket_keys,
    keys_of,
    tags_key,
    turn_key,
)
from gateway.store.valkey.session import Session
from gateway.store.valkey.store import ValkeyStore
from tests.store.spending import TODAY
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


def slot_of_ours(node: Server) -> int:
    return int(node.ask("CLUSTER", "KEYSLOT", LAYOUT))


@pytest.mark.parametrize("name", NAMES)
def test_all_keys_stand_in_one_slot(node: Server, name: str) -> None:
    named = record_name(name)
    tags = LINE + named, ACCOUNTS + named, SEATS + named
    keys = [key for tag in tags for key in keys_of(tag)]
    keys += [*bucket_keys(named), *WORKERS, *CIRCUITS, turn_key(named), tags_key("a1")]
    assert {node.ask("CLUSTER", "KEYSLOT", key) for key in keys} == {slot_of_ours(node)}


@pytest.fixture
def trio() -> Iterator[list[Server]]:
    """A cluster of three nodes."""
    with ExitStack() as stack:
        ports = [free_port() for _ in range(3)]
        nodes = [
            stack.enter_context(running("--cluster-enabled", "yes", "--port", str(port), "--bind", "127.0.0.1"))
            for port in ports
        ]
        for node, (first, last) in zip(nodes, ((0, 5460), (5461, 10922), (10923, 16383)), strict=True):
            node.ask("CLUSTER", "ADDSLOTSRANGE", str(first), str(last))
        for port in ports[1:]:
            nodes[0].ask("CLUSTER", "MEET", "127.0.0.1", str(port))
        while not all(b"cluster_state:ok" in node.ask("CLUSTER", "INFO") for node in nodes):
            pass
        while not all(b"cluster_known_nodes:3" in node.ask("CLUSTER", "INFO") for node in nodes):
            pass
        yield nodes


async def test_the_node_that_has_the_keys_is_found_from_each_and_again_when_they_move(
    trio: list[Server], directory: Path
) -> None:
    slot = str(slot_of_ours(trio[0]))
    owner = next(node for node in trio if not str(node.ask("GET", LAYOUT)).startswith("MOVED"))
    stores = [shared_by(node, directory / str(at)) for at, node in enumerate(trio)]
    try:
        for store in stores:
            await store.open()
            assert not store.degraded
        granted = [(await store.take("org:acme", Bucket(1e-6, 2))).granted for store in stores]
        assert granted == [True, True, False]
        target = next(node for node in trio if node is not owner)
        name = target.ask("CLUSTER", "MYID")
        owner.ask("FLUSHALL")
        for node in (target, owner, *trio):
            node.ask("CLUSTER", "SETSLOT", slot, "NODE", name)
        assert (await stores[0].take("org:acme", Bucket(1e-6, 2))).granted  # of its host's share
        async with asyncio.timeout(20):
            while any(store.degraded or not store.outages for store in stores):  # noqa: ASYNC110 -- nobody tells
                await asyncio.sleep(0.01)  # noqa: TID251 -- real workers keep real time
        assert target.ask("HLEN", WORKERS[0]) == len(stores)
    finally:
        for store in stores:
            await store.close()


async def test_a_cluster_without_a_node_for_the_keys_is_an_outage_with_a_reason() -> None:
    with running("--cluster-enabled", "yes", "--port", str(free_port()), "--bind", "127.0.0.1") as lonely:
        session = Session(Address(path=str(lonely.socket)), "a1", 1.0, lambda *_: None, lambda _: None)
        with pytest.raises(LostError, match="CLUSTERDOWN"):
            await session.open(1.0)
        selecting = Address(path=str(lonely.socket), database=3)
        with pytest.raises(LostError, match=r"SELECT is not allowed in cluster mode|DB index is out of range"):
            await Session(selecting, "a1", 1.0, lambda *_: None, lambda _: None).open(1.0)


def shared_by(node: Server, directory: Path) -> ValkeyStore:
    settings = StoreSettings(
        limiter_store=StoreKind.MEMORY,
        limiter_path=directory,
        redis_url=SecretStr(node.url),
        redis_timeout_ms=1000,
    )
    clock = SystemClock()
    return ValkeyStore(settings, clock, MemoryStore(settings, clock))


async def test_a_node_of_a_cluster_runs_every_script(node: Server, directory: Path) -> None:
    store = shared_by(node, directory)
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
        claims = Claim(organization, UNLIMITED), Claim(f"key:{name}", UNLIMITED)
        held = await store.accounts.reserve(claims, tokens=7, windows=TODAY, will=Will(0, b""))
        store.accounts.settle(held, requests=1, tokens=5, record=None)
        key = claims[1].account
        await store.accounts.restore(key, TODAY, (1, 1), (1, 1))
        assert (await store.accounts.standing(key, TODAY)).day_tokens == 6
    await store._beat()
    assert await refreshed(store) == (0, 0)
    assert not store.degraded
    assert not store.outages
    await store.close()


async def refreshed(store: ValkeyStore) -> tuple[int, int]:
    await store.refresh()
    return store.counts().in_flight, store.counts().queued
