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

from gateway.store.doorbell import Doorbell, anybody_alive

pytestmark = pytest.mark.anyio

HOLD_A_SOCKET = """
import socket, sys
held = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
held.bind(sys.argv[1])
print("bound", flush=True)
sys.stdin.read()
"""


async def test_a_ring_reaches_the_other_worker_with_every_token(directory: Path) -> None:
    heard: list[int] = []
    one, other = Doorbell(directory, 1, heard.append), Doorbell(directory, 2, heard.append)
    one.ring(2, range(5000))
    async with asyncio.timeout(5):
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
    async with asyncio.timeout(5):
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
