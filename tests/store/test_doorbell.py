"""A worker's socket wakes its waiters, and tells whether its process lives."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from anyio.lowlevel import checkpoint

from gateway.core.clock import SystemClock
from gateway.store.choices import StoreKind
from gateway.store.doorbell import Doorbell, anybody_alive
from gateway.store.lmdb import LmdbStore
from gateway.store.settings import StoreSettings

pytestmark = pytest.mark.anyio

HOLD_A_SOCKET = """
import socket, sys
held = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
held.bind(sys.argv[1])
print("bound", flush=True)
sys.stdin.read()
"""

WAIT_IN_THE_QUEUE = """
import asyncio, pathlib, sys
from gateway.core.clock import SystemClock
from gateway.store import lmdb
from gateway.store.choices import StoreKind
from gateway.store.settings import StoreSettings
from gateway.store.waiters import Waiters

lmdb.TICK_SECS = 3600  # it ticks once, at its start, and is patient: who is woken was rung
counts = {"tick": 0, "wake": 0}

def counted(kind, name):
    original = getattr(kind, name)
    def call(*args):
        counts[name.strip("_")] += 1
        return original(*args)
    setattr(kind, name, call)

async def main():
    counted(lmdb.LmdbStore, "_tick")
    counted(Waiters, "wake")
    path = pathlib.Path(sys.argv[1])
    store = lmdb.LmdbStore(StoreSettings(limiter_store=StoreKind.LMDB, limiter_path=path), SystemClock())
    await store.open()
    await asyncio.sleep(0)
    waiting = asyncio.create_task(store.acquire("organization", limit=1, max_queued=1, patience=3600))
    while not store.counts().queued:
        await asyncio.sleep(0)
    print("ticked", counts["tick"], flush=True)
    store.release(await waiting)
    print(f"ticked {counts['tick']}, rung {counts['wake']}")
    await store.close()

asyncio.run(main())
"""


async def test_a_ring_reaches_the_other_worker_with_every_token(directory: Path) -> None:
    heard: list[int] = []
    one, other = Doorbell(directory, 1, heard.append), Doorbell(directory, 2, heard.append)
    one.ring(2, range(5000))
    async with asyncio.timeout(30):
        while len(heard) < 5000:
            await checkpoint()
    assert heard == list(range(5000))
    one.close()
    other.close()


async def test_a_full_socket_is_not_taken_for_a_dead_one(directory: Path) -> None:
    heard: list[int] = []
    one, other = Doorbell(directory, 1, heard.append), Doorbell(directory, 2, heard.append)
    for token in range(10_000):
        one.ring(2, [token])
    assert not one.is_dead(2)
    one.close()
    other.close()


def kill(pid: int) -> None:
    """Kill and wait for the end, but leave the zombie: a dead worker may lie uncollected for long."""
    os.kill(pid, signal.SIGKILL)
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)


async def test_only_a_process_that_has_ended_is_dead(directory: Path) -> None:
    bell = Doorbell(directory, 1, print)
    process = subprocess.Popen(  # noqa: ASYNC220, S603 -- a line of our own, started once
        [sys.executable, "-c", HOLD_A_SOCKET, str(directory / "2.sock")], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdin
    assert process.stdout
    assert process.stdout.readline() == b"bound\n"
    assert not bell.is_dead(2)
    os.kill(process.pid, signal.SIGSTOP)
    assert not bell.is_dead(2)
    bell.ring(2, [7])
    kill(process.pid)
    assert bell.is_dead(2)
    bell.ring(2, [7])
    process.stdin.close()
    process.stdout.close()
    process.wait()
    bell.close()


async def test_a_missing_path_proves_no_death(directory: Path) -> None:
    bell = Doorbell(directory, 1, print)
    assert not bell.is_dead(2)
    bell.ring(2, [7])
    bell.close()


async def test_a_datagram_of_any_bytes_is_harmless(directory: Path) -> None:
    heard: list[int] = []
    bell = Doorbell(directory, 1, heard.append)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as stranger:
        for datagram in (b"", b"abc", b"\1\0\0\0\0\0\0\0rest"):
            stranger.sendto(datagram, str(directory / "1.sock"))
    async with asyncio.timeout(30):
        while not heard:
            await checkpoint()
    assert heard == [1]
    bell.close()


async def test_a_directory_is_inhabited_as_long_as_one_process_lives(directory: Path) -> None:
    assert not anybody_alive(directory)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as gone:
        gone.bind(str(directory / "9.sock"))
    assert not anybody_alive(directory)
    bell = Doorbell(directory, 1, print)
    assert anybody_alive(directory)
    bell.close()
    assert not anybody_alive(directory)


async def test_a_slot_released_in_another_worker_is_heard_without_a_tick(directory: Path) -> None:
    store = LmdbStore(StoreSettings(limiter_store=StoreKind.LMDB, limiter_path=directory), SystemClock())
    await store.open()
    held = await store.acquire("organization", limit=1, max_queued=1, patience=0)
    process = subprocess.Popen(  # noqa: ASYNC220, S603 -- a script of our own, started once
        [sys.executable, "-c", WAIT_IN_THE_QUEUE, str(directory)], stdout=subprocess.PIPE
    )
    try:
        assert process.stdout
        async with asyncio.timeout(20):
            while not store.counts().queued:
                await checkpoint()
        assert await asyncio.to_thread(process.stdout.readline) == b"ticked 1\n"
        store.release(held)
        told, _ = await asyncio.to_thread(process.communicate, timeout=20)
        assert told == b"ticked 1, rung 1\n"
    finally:
        process.kill()
        process.wait()
        await store.close()
