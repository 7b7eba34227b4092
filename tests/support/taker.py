"""What may stand where spans are sent, or where a certificate is looked at? A server that reads all and keeps none."""

import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class _Answer(BaseHTTPRequestHandler):
    server: "Taker"

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        self.send_response(self.server.status)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Nobody reads it."""


class Taker(ThreadingHTTPServer):
    """Listens on a port of the kernel's choice.

    Attributes:
        status: what it answers.
        address: where it listens, as `host:port`.
    """

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Answer)
        self.status = 200
        self.address = f"127.0.0.1:{self.server_port}"

    def handle_error(self, *_: object) -> None:
        """A probe that leaves behind its handshake is no failure."""


@contextmanager
def taking(context: ssl.SSLContext | None = None) -> Iterator[Taker]:
    """One that runs, over TLS if there is a context."""
    with Taker() as server:
        if context is not None:
            server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield server
        server.shutdown()
        thread.join()
