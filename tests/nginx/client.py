"""What does a client see, byte for byte? A TLS connection that sends what it is told, well-formed or not."""

import contextlib
import http.client
import io
import socket
import ssl
from collections.abc import Iterator
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self, cast

import msgspec

from tests.support.nginx import NginxServer


@dataclass(frozen=True, slots=True)
class Answer:
    """A parsed answer; header names in lower case."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes

    def values(self, name: str) -> list[str]:
        """All values of one header field."""
        return [value for key, value in self.headers if key == name]

    def header(self, name: str) -> str | None:
        """The one value of a header field that may be absent."""
        values = self.values(name)
        assert len(values) <= 1, f"{name} stands {len(values)} times"
        return values[0] if values else None

    def error(self) -> dict[str, Any]:
        """The inside of OpenAI's error envelope, having checked its shape."""
        envelope = msgspec.json.decode(self.body)
        assert list(envelope) == ["error"]
        error: dict[str, Any] = envelope["error"]
        assert set(error) == {"message", "type", "param", "code"}
        return error


@dataclass
class Connection:
    """One connection to nginx."""

    raw: socket.socket
    _buffer: bytearray = field(default_factory=bytearray)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.raw.close()

    def send(self, data: bytes) -> None:
        """Write bytes; that nginx has hung up is seen when reading."""
        with contextlib.suppress(BrokenPipeError, ConnectionResetError, ssl.SSLEOFError):
            self.raw.sendall(data)

    def receive(self) -> bytes:
        """The next bytes, b"" at the end; a reset is an end."""
        try:
            return self.raw.recv(65536)
        except (ConnectionResetError, ssl.SSLEOFError):
            return b""

    def read_until(self, mark: bytes) -> bytes:
        """Everything up to and with `mark`."""
        while mark not in self._buffer:
            more = self.receive()
            assert more, f"closed before {mark!r}: {bytes(self._buffer)!r}"
            self._buffer += more
        end = self._buffer.index(mark) + len(mark)
        data = bytes(self._buffer[:end])
        del self._buffer[:end]
        return data

    def answer(self, method: str = "GET") -> Answer:
        """The next answer, whole; a 100 before it is passed over."""
        head = self.read_until(b"\r\n\r\n")
        while head.startswith(b"HTTP/1.1 100 "):
            head = self.read_until(b"\r\n\r\n")
        parsed = http.client.HTTPResponse(cast("socket.socket", _Bytes(head)), method=method)
        parsed.begin()
        headers = [(name.lower(), value) for name, value in parsed.getheaders()]
        length = next((int(value) for name, value in headers if name == "content-length"), None)
        if method == "HEAD":
            return Answer(parsed.status, headers, b"")
        body = self.read_exactly(length) if length is not None else b"".join(self.chunks())
        return Answer(parsed.status, headers, body)

    def chunks(self) -> Iterator[bytes]:
        """The chunks of a chunked body as nginx framed them."""
        while size := int(self.read_until(b"\r\n"), 16):
            yield self.read_exactly(size + 2)[:-2]
        self.read_until(b"\r\n")

    def read_exactly(self, size: int) -> bytes:
        """So many bytes."""
        while len(self._buffer) < size:
            more = self.receive()
            assert more, f"closed after {len(self._buffer)} of {size} bytes"
            self._buffer += more
        data = bytes(self._buffer[:size])
        del self._buffer[:size]
        return data

    def closed(self) -> bool:
        """Whether nginx closes and sends nothing more, within the socket's time-out."""
        if self._buffer:
            return False
        try:
            return self.receive() == b""
        except TimeoutError:
            return False


class _Bytes:
    """What http.client wants of a socket: a file to read from."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def makefile(self, _mode: str) -> io.BytesIO:
        return io.BytesIO(self._data)


def trusting(server: NginxServer, protocol: str = "http/1.1") -> ssl.SSLContext:
    """A client's TLS settings that trust the development certificate and offer one protocol only."""
    context = ssl.create_default_context(cafile=str(server.ca_file))
    context.set_alpn_protocols([protocol])
    return context


def connect(
    server: NginxServer, *, seconds: float = 30.0, receive_buffer: int = 0, protocol: str = "http/1.1"
) -> Connection:
    """A TLS connection; `seconds` bounds each read, `receive_buffer` bytes make a small window for slow readers."""
    plain = socket.socket()
    if receive_buffer:
        plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    plain.settimeout(seconds)
    try:
        plain.connect(("127.0.0.1", server.https_port))
        return Connection(trusting(server, protocol).wrap_socket(plain, server_hostname="localhost"))
    except OSError:
        plain.close()
        raise


def connect_plain(port: int, *, seconds: float = 30.0) -> Connection:
    """A connection without TLS."""
    return Connection(socket.create_connection(("127.0.0.1", port), timeout=seconds))


def exchange(server: NginxServer, data: bytes, *, method: str = "GET") -> Answer:
    """Send bytes on a new connection and read one answer."""
    with connect(server) as connection:
        connection.send(data)
        return connection.answer(method)


def request(target: str, *, method: str = "GET", headers: str = "", body: bytes = b"") -> bytes:
    """A well-formed request; `headers` are whole lines, each with its CRLF."""
    length = f"Content-Length: {len(body)}\r\n" if body or method == "POST" else ""
    return f"{method} {target} HTTP/1.1\r\nHost: gateway.test\r\n{length}{headers}\r\n".encode("latin-1") + body
