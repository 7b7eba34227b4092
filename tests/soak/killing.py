"""Who is killed, and what dies with it? A worker at a time, its connections and figures noted just before."""

import asyncio
import os
import signal
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from gateway.observability.families.requests import REQUESTS
from gateway.observability.page import PageReader
from tests.soak.pausing import is_over
from tests.support.gateway import Gateway

ESTABLISHED = "01"


@dataclass(frozen=True, slots=True)
class Death:
    """A worker that was killed.

    Args:
        ports: the clients' ends of the connections that it held.
        counted: how many requests it had counted, by their paths.
    """

    at: float
    pid: int
    ports: frozenset[int]
    counted: Mapping[str, int] = field(default_factory=dict)


async def kill_now_and_then(gateway: Gateway, every: float, deaths: list[Death], over: asyncio.Event) -> None:
    """Kill a worker every so many seconds; the oldest is spared, as its memory is what is watched."""
    while not await is_over(over, every):
        _, *others = gateway.worker_pids()
        if others:
            deaths.append(kill(gateway, others[0]))


def kill(gateway: Gateway, pid: int) -> Death:
    """SIGKILL, to a process that stands still while it is looked at: exactly what is seen dies with it."""
    os.kill(pid, signal.SIGSTOP)
    ports, counted = frozenset(clients_of(gateway.port, pid)), counted_by(pid)
    os.kill(pid, signal.SIGKILL)
    return Death(time.monotonic(), pid, ports, counted)


def counted_by(pid: int) -> dict[str, int]:
    """How many requests a worker has counted, by their paths: read from the page that it shares with its supervisor."""
    folder = Path(f"/proc/{pid}/fd")
    page = next(link for link in folder.iterdir() if "gateway-figures" in str(link.readlink()))
    opened = os.open(page, os.O_RDONLY)
    try:
        counted: Counter[str] = Counter()
        for series in PageReader(opened).read():
            if series.family == REQUESTS.name:
                counted[series.labels[0]] += int(series.values[0])
        return dict(counted)
    finally:
        os.close(opened)


def clients_of(port: int, pid: int) -> Iterator[int]:
    """The clients' ports of the connections to `port` that a process holds."""
    held = set(_sockets(pid))
    for fields in _connections():
        local, remote, inode = fields[1], fields[2], fields[9]
        if inode in held and _port(local) == port and _port(remote):
            yield _port(remote)


def connections_of(pid: int) -> int:
    """How many TCP connections a process holds, to clients and to backends."""
    held = set(_sockets(pid))
    return sum(1 for fields in _connections() if fields[9] in held and fields[3] == ESTABLISHED)


def _sockets(pid: int) -> Iterator[str]:
    for descriptor in Path(f"/proc/{pid}/fd").iterdir():
        try:
            target = str(descriptor.readlink())
        except FileNotFoundError:  # closed meanwhile
            continue
        if target.startswith("socket:["):
            yield target.removeprefix("socket:[").removesuffix("]")


def _connections() -> Iterator[list[str]]:
    """The rows of /proc/net/tcp: proc_pid_net(5) names the fields."""
    for row in Path("/proc/net/tcp").read_text(encoding="ascii").splitlines()[1:]:
        yield row.split()


def _port(end: str) -> int:
    return int(end.partition(":")[2], 16)
