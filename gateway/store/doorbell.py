"""How is a waiter in another worker woken, and how is a worker known to be dead? By its datagram socket.

The kernel closes a process's sockets however it dies, and then refuses what is sent to their paths: no process number
to be reused, no clock, no heartbeat.
"""

import asyncio
import contextlib
import socket
import struct
from collections.abc import Callable, Sequence
from pathlib import Path

TOKEN_BYTES = 8
MAX_DATAGRAM_BYTES = 64 * 1024
TOKENS_PER_DATAGRAM = 1024


class Doorbell:
    """The unix datagram socket of one worker, at `directory`/`worker`.sock.

    A datagram carries the tokens of waiters that may look. One that is lost costs time, no slot: waiters also look by
    themselves.
    """

    def __init__(self, directory: Path, worker: int, on_ring: Callable[[int], None]) -> None:
        self._directory = directory
        self._path = self.path_of(worker)
        self._on_ring = on_ring
        self._probe = datagram_socket()
        self._socket = datagram_socket()
        self._path.unlink(missing_ok=True)
        self._socket.bind(str(self._path))
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._socket.fileno(), self._answer)

    def path_of(self, worker: int) -> Path:
        """Where a worker's socket is."""
        return self._directory / f"{worker}.sock"

    def close(self) -> None:
        """Be taken for dead from now on."""
        self._loop.remove_reader(self._socket.fileno())
        self._socket.close()
        self._probe.close()

    def remove(self, worker: int) -> None:
        """Remove the path of a worker that has ended and has nothing left."""
        self.path_of(worker).unlink(missing_ok=True)

    def ring(self, worker: int, tokens: Sequence[int]) -> None:
        """Tell a worker that these tokens may look; it is no failure when its buffer is full or it is gone."""
        address = str(self.path_of(worker))
        with contextlib.suppress(OSError):
            for start in range(0, len(tokens), TOKENS_PER_DATAGRAM):
                some = tokens[start : start + TOKENS_PER_DATAGRAM]
                self._socket.sendto(struct.pack(f"={len(some)}Q", *some), address)

    def is_dead(self, worker: int) -> bool:
        """Has the process of that worker ended? A path that is missing proves nothing."""
        return is_dead(self._probe, self.path_of(worker))

    def _answer(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while datagram := self._socket.recv(MAX_DATAGRAM_BYTES):
                for (token,) in struct.iter_unpack("=Q", datagram[: len(datagram) // TOKEN_BYTES * TOKEN_BYTES]):
                    self._on_ring(token)


def datagram_socket() -> socket.socket:
    """A unix datagram socket that never blocks."""
    made = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    made.settimeout(0)
    return made


def is_dead(probe: socket.socket, path: Path) -> bool:
    """Is this the path of a socket whose process has ended?"""
    try:
        probe.connect(str(path))
    except ConnectionRefusedError:
        return True
    except OSError:
        return False
    return False


def anybody_alive(directory: Path) -> bool:
    """Does any process still own a socket in this directory?"""
    with datagram_socket() as probe:
        return any(not is_dead(probe, path) for path in directory.glob("*.sock"))
