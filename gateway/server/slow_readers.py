"""Who takes nothing of what is ready for it? One look at all of a worker's connections, not a timer for each."""

import asyncio
from typing import Protocol

from gateway.core.looks import Looks

LOOK_SECS = 1.0
"""Between two looks."""
LOOKS_PER_CAP = 20
"""Looks within a small cap."""
SPARE_LOOKS = 2
"""So much later than its cap a connection is reset: whoever answers its request and counts from the same moment
(`proxy.watchdog`) comes first, and ends it in order. It counts while an answer waits for its client; what is sent
slowly never has to, until 64 KiB are not taken, and is judged here alone."""


class Reader(Protocol):
    """A connection, as far as it is looked at.

    Attributes:
        written: bytes that were ever queued for its client.
    """

    written: int

    def untaken(self) -> int:
        """How many of them our kernel has not taken yet, as it holds enough for the client."""
        ...

    def undelivered(self) -> int:
        """How many of them the client's kernel has not taken."""
        ...

    def give_up(self) -> None:
        """Reset it, with all that was not taken, and say so to the request that runs there."""
        ...


class SlowReaders:
    """Resets connections whose clients stand still, whatever they are in: answering, idle, closing, draining.

    What is asked for without a key is answered in full, and a socket that is not read closes by itself only when its
    peer does: 300 strangers who never read 1.7 MB each would stand for ever, and hold up the worker's end.

    Args:
        cap: seconds in which a client must take something, if anything is there to be taken.
    """

    def __init__(self, cap: float) -> None:
        pace = min(LOOK_SECS, cap / LOOKS_PER_CAP)
        self._cap = cap + SPARE_LOOKS * pace
        self._watched: set[Reader] = set()
        self._behind: dict[Reader, tuple[int, float]] = {}
        """Those who had not taken all at the last look: bytes taken until then, and when they last took some."""
        self._looks = Looks(pace, self._look)

    def watch(self, reader: Reader) -> None:
        """Look at the connection until it is forgotten."""
        self._watched.add(reader)
        self._looks.begin()

    def forget(self, reader: Reader) -> None:
        """It is closed."""
        self._watched.discard(reader)

    def _look(self) -> bool:
        now = asyncio.get_running_loop().time()
        behind: dict[Reader, tuple[int, float]] = {}
        for reader in tuple(self._watched):
            if reader.untaken():  # who is not behind costs no question to the kernel
                taken = reader.written - reader.undelivered()
                before, since = self._behind.get(reader, (-1, now))
                if taken != before:
                    since = now
                if now - since < self._cap:
                    behind[reader] = taken, since
                else:
                    reader.give_up()
        self._behind = behind
        return bool(self._watched)
