"""A backend that misbehaves on request: a listening socket whose every connection is run by a script in a thread."""

import contextlib
import queue
import re
import select
import socket
import ssl
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Self

from gateway.core.sockets import reset_on_close
from gateway.upstream.address import Address

PATIENCE_SECS = 20.0
"""How long a script waits for anything; a test that gets there has failed."""

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
STREAM = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"


class ClientLeft(Exception):  # noqa: N818 -- no error: the end of a script
    """The client closed or reset the connection."""


class Peer:
    """The backend's end of one connection, with blocking calls for scripts."""

    def __init__(self, sock: socket.socket, requests: "queue.Queue[bytes]") -> None:
        sock.settimeout(PATIENCE_SECS)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # as vLLM's server does
        self.sock = sock
        self.left_at: float | None = None
        self.ready = False
        self._requests = requests
        self._data = bytearray()

    def request(self) -> bytes:
        """Read one whole request; its content-length counts."""
        while (end := self._data.find(b"\r\n\r\n")) < 0:
            self._more()
        stated = re.search(rb"\r\ncontent-length: (\d+)", self._data[:end], re.IGNORECASE)
        size = end + 4 + (int(stated[1]) if stated else 0)
        while len(self._data) < size:
            self._more()
        whole = bytes(self._data[:size])
        del self._data[:size]
        self._requests.put(whole)
        return whole

    def head_only(self) -> None:
        """Read a request's head and leave the body unread."""
        while b"\r\n\r\n" not in self._data:
            self._more(1)

    def unread(self) -> None:
        """Wait for a request and leave all of it unread."""
        self.sock.recv(1, socket.MSG_PEEK)

    def say(self, *pieces: bytes) -> None:
        """Send each piece by a call of its own."""
        for piece in pieces:
            try:
                self.sock.sendall(piece)
            except OSError as error:
                raise ClientLeft from error

    def drip(self, data: bytes, size: int = 1) -> None:
        """Send in pieces of `size`, each as a packet of its own."""
        for at in range(0, len(data), size):
            self.say(data[at : at + size])
            time.sleep(0.0005)

    def close(self) -> None:
        """End the connection with a FIN (a reset when something is unread)."""
        self.sock.close()

    def reset(self) -> None:
        """End the connection with a reset, whatever was read."""
        reset_on_close(self.sock)
        self.sock.close()

    def until_left(self) -> None:
        """Wait for the client's close without reading, and note when it came."""
        self.ready = True
        poll = select.poll()
        poll.register(self.sock.fileno(), select.POLLRDHUP)
        if poll.poll(PATIENCE_SECS * 1000):
            self.left_at = time.monotonic()

    def _more(self, size: int = 1 << 20) -> None:
        try:
            data = self.sock.recv(size)
        except OSError as error:
            self.left_at = time.monotonic()
            raise ClientLeft from error
        if not data:
            self.left_at = time.monotonic()
            raise ClientLeft
        self._data += data


Script = Callable[[Peer], None]


class Backend:
    """A server whose connections run `scripts` in turn, the last one for ever."""

    def __init__(
        self, *scripts: Script, tls: ssl.SSLContext | None = None, host: str = "127.0.0.1", port: int = 0
    ) -> None:
        self._scripts = scripts
        self._tls = tls
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._listener = socket.create_server((host, port), family=family, backlog=512)
        self.port: int = self._listener.getsockname()[1]
        name = f"[{host}]" if ":" in host else host
        self.address = Address.parse(f"{'https' if tls else 'http'}://{name}:{self.port}")
        self.peers: list[Peer] = []
        self.requests: queue.Queue[bytes] = queue.Queue()
        self.errors: list[BaseException] = []
        self._threads = [threading.Thread(target=self._accept, daemon=True)]

    def __enter__(self) -> Self:
        self._threads[0].start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for peer in self.peers:
            with contextlib.suppress(OSError):
                peer.sock.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(PATIENCE_SECS)
        if error is None and self.errors:
            raise self.errors[0]

    @property
    def accepted(self) -> int:
        return len(self.peers)

    def wait_for(self, condition: Callable[[], bool]) -> bool:
        """Block until `condition` holds (call it in a thread); False when it never does."""
        until = time.monotonic() + PATIENCE_SECS
        while not condition():
            if time.monotonic() > until:
                return False
            time.sleep(0.001)
        return True

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            peer = Peer(sock, self.requests)
            script = self._scripts[min(len(self.peers), len(self._scripts) - 1)]
            self.peers.append(peer)
            thread = threading.Thread(target=self._run, args=(peer, script), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _run(self, peer: Peer, script: Script) -> None:
        try:
            if self._tls is not None:
                sock = self._tls.wrap_socket(peer.sock, server_side=True, do_handshake_on_connect=False)
                peer.sock = sock  # before the handshake, so that __exit__ can end it
                sock.do_handshake()
            script(peer)
        except (ClientLeft, OSError):
            pass
        except BaseException as error:  # noqa: BLE001 -- shown by __exit__, in the test's own thread
            self.errors.append(error)
        finally:
            with contextlib.suppress(OSError):
                peer.sock.close()


def answers(*whole: bytes) -> Script:
    """Read a request, send each of `whole` in a packet of its own, and again, until the client leaves."""

    def script(peer: Peer) -> None:
        while True:
            peer.request()
            peer.say(*whole)

    return script


def says(*pieces: bytes) -> Script:
    """Read one request, send the pieces, close."""

    def script(peer: Peer) -> None:
        peer.request()
        peer.say(*pieces)

    return script


def chunk(data: bytes, extension: bytes = b"") -> bytes:
    """One chunk of a chunked body."""
    return b"%x%b\r\n%b\r\n" % (len(data), extension, data)


def floods(sent: list[int], pieces: int) -> Script:
    """A stream of so many pieces of 64 KiB, sent as fast as they are taken; `sent` notes each that was."""

    def script(peer: Peer) -> None:
        peer.request()
        peer.say(STREAM)
        for _ in range(pieces):
            peer.say(chunk(b"x" * 65_536))
            sent.append(65_536)
        peer.say(b"0\r\n\r\n")
        peer.request()

    return script
