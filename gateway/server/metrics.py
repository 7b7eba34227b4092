"""Who answers Prometheus? The supervisor, for all workers together, so that a scrape blocks no request."""

import socket
import threading
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

from gateway.observability.totals import Totals
from gateway.server.listening import CannotListenError

if TYPE_CHECKING:
    from gateway.server.scrapes import ScrapeServer


class MetricsExporter:
    """The workers' figures, which every worker writes into a page of memory that the supervisor reads.

    Attributes:
        totals: what they come to.
    """

    def __init__(self) -> None:
        self.totals = Totals()
        self._listener: socket.socket | None = None
        self._server: ScrapeServer | None = None
        self._closing = threading.Lock()
        self._closed = False

    def page(self) -> AbstractContextManager[int]:
        """A new worker's page, as a descriptor to inherit, for as long as the worker lives.

        Raises:
            OSError: there is no memory, or no descriptor, for it.
        """
        return self.totals.page()

    def listen(self, host: str, port: int) -> int:
        """Take connections, which wait until `answer`; the port that was bound.

        Raises:
            CannotListenError: the port is taken.
        """
        self._listener = listener = socket.socket()
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind((host, port))
            listener.listen()
        except OSError as error:
            raise CannotListenError(f"cannot serve metrics on {host}:{port}: {error.strerror}") from error
        return int(listener.getsockname()[1])

    def answer(self) -> None:
        """Answer `GET /metrics`, from a thread of this process.

        What renders is loaded there, 4 MiB that the first worker's start must not wait for.
        """
        if self._listener is not None:
            threading.Thread(target=self._serve, args=(self._listener,), name="metrics", daemon=True).start()

    def close(self) -> None:
        """Stop answering."""
        with self._closing:
            self._closed = True
        if self._server is not None:
            self._server.shutdown()
        if self._listener is not None:
            self._listener.close()

    def _serve(self, listener: socket.socket) -> None:
        from gateway.server.scrapes import ScrapeServer  # noqa: PLC0415 -- see `answer`

        with self._closing:
            if self._closed:
                return
            self._server = server = ScrapeServer(listener, self.totals)
        server.serve_forever()
