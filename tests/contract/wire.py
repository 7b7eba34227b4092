"""What goes over the socket, byte by byte? A connection that shows the framing which an HTTP library smooths over."""

import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import BinaryIO, Self


@dataclass(frozen=True)
class RawAnswer:
    """One answer: header names as sent, `chunks` as the transfer coding framed them (empty with a content length)."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes
    chunks: list[bytes] = field(default_factory=list)

    def header(self, name: str) -> str | None:
        """The first header of that name, names compared exactly."""
        return next((value for key, value in self.headers if key == name), None)


class Wire:
    """One connection. Reading gives up after `timeout` seconds with TimeoutError."""

    def __init__(self, host: str, port: int, timeout: float = 30.0) -> None:
        self._socket = socket.create_connection((host, port), timeout)
        self._reader: BinaryIO = self._socket.makefile("rb")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Both directions, at once."""
        self._reader.close()
        self._socket.close()

    def send(self, data: bytes) -> None:
        """All of `data`."""
        self._socket.sendall(data)

    def half_close(self) -> None:
        """Nothing more will be sent; answers could still be read."""
        self._socket.shutdown(socket.SHUT_WR)

    def at_end(self) -> bool:
        """Wait for the next byte or the end; True when the server closed without another byte."""
        return self._reader.read(1) == b""

    def answer(self) -> RawAnswer:
        """The next answer, whole. EOFError when the server closed instead."""
        status = self._line().split(b" ", 2)[1]
        headers = self._headers()
        names = dict(headers)
        if names.get("transfer-encoding") == "chunked":
            chunks = list(iter(self._chunk, b""))
            return RawAnswer(int(status), headers, b"".join(chunks), chunks)
        return RawAnswer(int(status), headers, self._reader.read(int(names.get("content-length", "0"))))

    def _headers(self) -> list[tuple[str, str]]:
        lines = (line.decode("latin-1").partition(": ") for line in iter(self._line, b""))
        return [(name, value) for name, _, value in lines]

    def _chunk(self) -> bytes:
        size = int(self._line(), 16)
        chunk = self._reader.read(size)
        self._line()
        return chunk

    def _line(self) -> bytes:
        line = self._reader.readline()
        if not line.endswith(b"\r\n"):
            raise EOFError(f"the connection ended after {line!r}")
        return line[:-2]


def request(method: str, path: str, body: bytes | None = None, headers: Mapping[str, str] | None = None) -> bytes:
    """One HTTP/1.1 request; with a body it is JSON and has its length."""
    lines = {"host": "vllm", **(headers or {})}
    if body is not None:
        lines |= {"content-type": "application/json", "content-length": str(len(body))}
    head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    return f"{method} {path} HTTP/1.1\r\n{head}\r\n".encode("latin-1") + (body or b"")
