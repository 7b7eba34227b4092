"""Who takes the connections that wait? Each worker, a few in a round of its loop, from the socket that all share."""

import asyncio
import errno
import logging
import socket
from collections.abc import Callable

logger = logging.getLogger(__name__)

BATCH = 16
"""Connections that are taken in one round. uvloop's own server takes one, and a round of a busy worker lasts 10 to
30 ms: the last of 256 that came at once waited for 2 s. The more a round takes, the less evenly they are spread over
the workers (docs/decisions/0010-supervisor.md)."""
PAUSE_SECS = 1.0
"""How long nothing is taken after the kernel refused: what the process or the host lacks is given back by others."""


class Acceptor:
    """Takes connections from a listening socket, each for a protocol that `make` makes.

    What it does not take stays with the kernel, for the other workers: also while this one has no descriptor left,
    where uvloop's own server closes all that wait, and so the clients of its siblings.

    Args:
        listener: non-blocking; it stays the caller's to close, after `close`.
        make: as for `loop.create_server`.
    """

    def __init__(self, listener: socket.socket, make: Callable[[], asyncio.BaseProtocol]) -> None:
        self._loop = asyncio.get_running_loop()
        self._listener = listener
        self._make = make
        self._opening: set[asyncio.Task[object]] = set()
        self._pause: asyncio.TimerHandle | None = None
        self._listen()

    def close(self) -> None:
        """Take no more from this moment on; the second call does nothing."""
        if self._pause is not None:
            self._pause.cancel()
        self._loop.remove_reader(self._listener)

    async def settled(self) -> None:
        """Wait until every protocol has the connection that was taken for it, a round or two after `close`."""
        if self._opening:
            await asyncio.wait(self._opening)

    def _listen(self) -> None:
        self._loop.add_reader(self._listener, self._take)

    def _take(self) -> None:
        """Take what waits, and no more than a batch of it: what is left makes the socket readable in the next round."""
        for _ in range(BATCH):
            try:
                connection, _ = self._listener.accept()
            except BlockingIOError:
                return
            except ConnectionAbortedError:  # the client has gone while it waited
                continue
            except OSError as error:
                self._stop_for(error)
                return
            opening = self._loop.create_task(self._loop.connect_accepted_socket(self._make, connection))
            self._opening.add(opening)
            opening.add_done_callback(self._opening.discard)

    def _stop_for(self, error: OSError) -> None:
        """Look away: what waits would wake the loop again at once."""
        self.close()
        if error.errno == errno.EINVAL:  # the supervisor has shut the socket down; SIGTERM is on its way
            return
        logger.warning("accepting_paused", extra={"why": str(error), "paused_secs": PAUSE_SECS})
        self._pause = self._loop.call_later(PAUSE_SECS, self._listen)
