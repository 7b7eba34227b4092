"""Which workers are there, on which hosts, and which are dead? Each beats in the server, and watches the others.

A worker is dead for its own host when the kernel refuses its socket, as in docs/decisions/0031; for other hosts, when
it has not beaten while they beat DEAD_AFTER_BEATS times. Nobody's clock is compared with anybody's: neither a clock
that is set nor a server that was away makes anybody dead.
"""

import contextlib
import logging
import os
import secrets
import socket
from collections.abc import Iterable
from pathlib import Path

from gateway.store.doorbell import datagram_socket, is_dead
from gateway.store.valkey.scripts import ACCOUNTS, LINE, WORKERS, keys_of, tags_key
from gateway.store.valkey.server_clock import ServerClock
from gateway.store.valkey.session import Session

BEAT_SECS = 0.25
"""Four beats a second: 100 workers cost a server 5 % of a core with them; a flush is noticed so soon."""

DEAD_AFTER_BEATS = 12
"""3 s: a worker whose loop stands still for longer than any work of a request takes is buried and has to join again; a
dead host's slots are free in 3 to 4 s."""

EPOCH_FILE = "epoch"

REJOINED = 2

FOLDER = "v"
"""Beside the host's own state; short, as a unix socket's path has 107 bytes."""

log = logging.getLogger(__name__)


def new_name() -> str:
    """A name that no other worker or host ever had: 48 bits by chance."""
    return secrets.token_hex(6)


class Home:
    """What the workers of one host share: the host's name, and each one's socket, which the kernel closes with it."""

    def __init__(self, directory: Path, worker: str) -> None:
        self._folder = directory / FOLDER
        self._worker = worker
        self.host = ""
        self.epoch = ""
        """Of the server, when this host had it last: what is used while it is away belongs there."""

    def open(self) -> None:
        """Find the host's name or give it one, and be alive. Raises OSError."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        named, mine = self._folder / "host", self._folder / self._worker
        mine.write_text(new_name())
        with contextlib.suppress(FileExistsError):
            os.link(mine, named)
        mine.unlink()
        self.host = named.read_text()
        with contextlib.suppress(FileNotFoundError):
            self.epoch = (self._folder / EPOCH_FILE).read_text()
        self._probe = datagram_socket()
        self._socket: socket.socket = datagram_socket()
        self._socket.bind(str(self._path(self._worker)))

    def close(self) -> None:
        """Leave."""
        self._path(self._worker).unlink(missing_ok=True)
        self._socket.close()
        self._probe.close()

    def remember(self, epoch: str) -> None:
        """The server is of that epoch. A host that cannot note it knows it while it lives."""
        self.epoch = epoch
        new = self._folder / f"{self._worker}.epoch"
        with contextlib.suppress(OSError):
            new.write_text(epoch)
            new.replace(self._folder / EPOCH_FILE)

    def is_dead(self, worker: str) -> bool:
        """Has that worker of this host ended?"""
        return is_dead(self._probe, self._path(worker))

    def bury(self, worker: str) -> None:
        """Nothing is left of it."""
        self._path(worker).unlink(missing_ok=True)

    def _path(self, worker: str) -> Path:
        return self._folder / f"{worker}.sock"


class Workers:
    """All workers at one server, as one of them sees them."""

    def __init__(self, session: Session, home: Home, time: ServerClock) -> None:
        self._session = session
        self._home = home
        self._time = time
        self._unchanged: dict[str, tuple[bytes, int]] = {}
        self.hosts = 1
        """How many hosts had workers at the last beat."""
        self.epoch = ""
        """The name of what the server had then; another one, and it had lost all."""

    async def join(self) -> bool:
        """Be one of them from now on. What was seen of the others before counts no more.

        False: the server does not know us, or we were buried; what we had there is gone.
        """
        self._unchanged.clear()
        return await self._ask("join", self._session.worker, self._home.host, os.urandom(8).hex()) == REJOINED

    async def beat(self) -> bool:
        """Say that we are alive, and bury the dead; False: we are unknown, or were buried. Raises LostError."""
        done = await self._ask("beat", self._session.worker)
        for worker, seen in self._missed():
            if seen.startswith(b"-") or await self._ask("condemn", worker, seen):
                log.warning("worker_buried", extra={"worker": worker})
                await self._bury(worker, ours=seen.startswith(self._home.host.encode()))
        return bool(done)

    async def part(self) -> None:
        """Be none of them."""
        await self._strike(self._session.worker, ours=True)
        await self._ask("part", self._session.worker)

    async def tags(self) -> set[bytes]:
        """Under which tags anybody may have anything."""
        found: set[bytes] = set()
        for worker in await self._session.ask("HKEYS", WORKERS[0]):
            found.update(await self._session.ask("SMEMBERS", tags_key(worker.decode())))
        return found

    async def tags_of_ours(self) -> set[bytes]:
        """Under which tags this worker may have anything, by the server's record."""
        return set(await self._session.ask("SMEMBERS", tags_key(self._session.worker)))

    async def _bury(self, worker: str, *, ours: bool) -> None:
        await self._strike(worker, ours=ours)
        await self._ask("forget", worker)
        self._home.bury(worker)
        self._unchanged.pop(worker, None)

    async def _strike(self, worker: str, *, ours: bool) -> None:
        """Free what a worker has. One of our host has left its wills in our state, where they are executed."""
        scripts = self._session.scripts
        for tag in await self._session.ask("SMEMBERS", tags_key(worker)):
            if tag.startswith(ACCOUNTS):
                await self._session.run(scripts.accounts, keys_of(tag), "strike", worker, int(ours))
            else:
                script = scripts.line if tag.startswith(LINE) else scripts.seats
                await self._session.run(script, keys_of(tag), "strike", worker)
        await self._session.ask("DEL", tags_key(worker))

    async def _ask(self, operation: str, worker: str, *words: str | bytes) -> int:
        asked = self._time.monotonic()
        script = self._session.scripts.workers
        done, pairs, epoch, time = await self._session.run(script, WORKERS, operation, worker, *words)
        self._time.learn(float(time), asked)
        if done:  # a server that does not know us may have forgotten others, too: they are there all the same
            self.epoch = (epoch or b"").decode()
            self._note(zip(pairs[::2], pairs[1::2], strict=True), beaten=operation == "beat")
        return int(done)

    def _note(self, workers: Iterable[tuple[bytes, bytes]], *, beaten: bool) -> None:
        before, hosts = self._unchanged, {self._home.host.encode()}
        self._unchanged = {}
        for name, seen in workers:
            worker = name.decode()
            if worker == self._session.worker:
                continue
            known, beats = before.get(worker, (b"", 0))
            self._unchanged[worker] = (seen, beats + beaten if seen == known else 0)
            if not seen.startswith(b"-"):
                hosts.add(seen.partition(b" ")[0])
        self.hosts = len(hosts)

    def _missed(self) -> list[tuple[str, bytes]]:
        """Those who are dead, as they were seen last."""
        here = self._home.host.encode()
        return [
            (worker, seen)
            for worker, (seen, beats) in self._unchanged.items()
            if beats >= DEAD_AFTER_BEATS or (seen.startswith(here) and self._home.is_dead(worker))
        ]
