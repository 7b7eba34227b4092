"""What arrives behind nginx? A raw server in the gateway's place that keeps every byte and answers as it is told."""

import contextlib
import queue
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass, field

Script = Callable[["Exchange"], None]
"""Answers one request; when it returns the connection is kept for the next one unless it was closed."""


@dataclass(frozen=True, slots=True)
class Received:
    """One request as it arrived: `head` ends with the blank line, `body` is as long as Content-Length says."""

    head: bytes
    body: bytes

    @property
    def line(self) -> bytes:
        """The request line."""
        return self.head.split(b"\r\n", 1)[0]

    def fields(self) -> list[tuple[bytes, bytes]]:
        """Header fields in order, names in lower case."""
        pairs = [line.split(b":", 1) for line in self.head.split(b"\r\n")[1:] if line]
        return [(name.lower(), value.strip()) for name, value in pairs]

    def values(self, name: bytes) -> list[bytes]:
        """All values of one field."""
        return [value for key, value in self.fields() if key == name]


@dataclass(slots=True)
class Exchange:
    """A request and the connection on which it is to be answered."""

    request: Received
    connection: socket.socket
    gone: threading.Event = field(default_factory=threading.Event)

    def send(self, data: bytes) -> None:
        """Write to nginx; nothing is held back."""
        self.connection.sendall(data)

    def wait_for_departure(self, seconds: float) -> bool:
        """Whether nginx closes the connection within `seconds`."""
        self.connection.settimeout(seconds)
        try:
            return self.connection.recv(1) == b""
        except TimeoutError:
            return False
        except OSError:
            return True


def answer(
    body: bytes = b"{}", status: bytes = b"200 OK", headers: bytes = b"content-type: application/json\r\n"
) -> Script:
    """A whole answer with its length."""
    head = b"HTTP/1.1 %b\r\n%bcontent-length: %d\r\n\r\n" % (status, headers, len(body))
    return lambda exchange: exchange.send(head + body)


class Upstream:
    """A server on loopback. `received` fills as requests come; `script` says how they are answered.

    `connections` and `heads` count what arrived since the start, requests whose body is still missing included.
    """

    def __init__(self) -> None:
        self.received: queue.Queue[Received] = queue.Queue()
        self.script: Script = answer()
        self.connections = 0
        self.heads = 0
        self._listener = _listen(0)
        self.port: int = self._listener.getsockname()[1]
        self._open: set[socket.socket] = set()
        self._start()

    def next(self, seconds: float = 30.0) -> Received:
        """The next request that arrived, waiting for it."""
        return self.received.get(timeout=seconds)

    def count(self) -> int:
        """How many requests arrived and were not taken."""
        return self.received.qsize()

    def reset(self) -> None:
        """Forget what arrived, answer 200 again."""
        self.script = answer()
        while not self.received.empty():
            self.received.get()

    def refuse(self) -> None:
        """Stop listening and drop all connections: the port refuses. The end of it, or until `resume`."""
        # A thread waits in accept(): shutdown wakes it, close alone would leave the port open.
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._acceptor.join()
        for connection in tuple(self._open):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def resume(self) -> None:
        """Listen again on the same port."""
        self._listener = _listen(self.port)
        self._start()

    def _start(self) -> None:
        self._acceptor = threading.Thread(target=self._accept, daemon=True)
        self._acceptor.start()

    def _accept(self) -> None:
        listener = self._listener
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _read(self, connection: socket.socket) -> Received | None:
        """One request, whole, or None when the connection ends first."""
        begun = _read_head(connection)
        if begun is None:
            return None
        self.heads += 1
        request, first = begun
        chunks = [first]
        missing = int((request.values(b"content-length") or [b"0"])[0]) - len(first)
        while missing > 0:
            more = connection.recv(65536)
            if not more:
                return None
            chunks.append(more)
            missing -= len(more)
        return Received(request.head, b"".join(chunks))

    def _serve(self, connection: socket.socket) -> None:
        self._open.add(connection)
        with connection, contextlib.suppress(OSError):
            while (request := self._read(connection)) is not None:
                self.received.put(request)
                self.script(Exchange(request, connection))
        self._open.discard(connection)


def _listen(port: int) -> socket.socket:
    listener = socket.create_server(("127.0.0.1", port))
    # What the kernel holds on this side is not nginx's doing: kept small, so that a test can measure nginx.
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 32 * 1024)
    return listener


def _read_head(connection: socket.socket) -> tuple[Received, bytes] | None:
    """A request without its body, and the first bytes of that; None when the connection ends first."""
    data = b""
    while b"\r\n\r\n" not in data:
        more = connection.recv(65536)
        if not more:
            return None
        data += more
    head, _, begun = data.partition(b"\r\n\r\n")
    return Received(head + b"\r\n\r\n", b""), begun
