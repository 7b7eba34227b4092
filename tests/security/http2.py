"""What does a client of HTTP/2 that keeps to no rule send? Frames as they are told, one connection at a time."""

import contextlib
import ssl
from types import TracebackType
from typing import Self

import hpack
from hyperframe.frame import DataFrame, Frame, HeadersFrame, PingFrame, RstStreamFrame, SettingsFrame

from tests.nginx.client import Connection, connect
from tests.support.gateway import KEY
from tests.support.nginx import NginxServer

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
FRAME_HEAD = 9
CANCEL = 8

Fields = list[tuple[bytes, bytes]]


def fields(path: bytes = b"/v1/models", method: bytes = b"GET", *more: tuple[bytes, bytes]) -> Fields:
    """A request's fields with the key, in their order."""
    pseudo = [(b":method", method), (b":scheme", b"https"), (b":authority", b"gateway.test"), (b":path", path)]
    return [*pseudo, (b"authorization", b"Bearer " + KEY.encode()), *more]


def literal(name: bytes, value: bytes) -> bytes:
    """A field as HPACK's plainest literal: neither looked up nor remembered, whatever bytes it has."""
    return b"\0" + _length(name) + name + _length(value) + value


def _length(text: bytes) -> bytes:
    """HPACK's integer of seven bits."""
    size = len(text)
    if size < 127:
        return bytes([size])
    rest = size - 127
    written = bytearray([127])
    while rest >= 128:
        written.append(rest % 128 + 128)
        rest //= 128
    written.append(rest)
    return bytes(written)


def block(found: Fields) -> bytes:
    """Fields as a block that leaves nothing behind in the connection's table."""
    return b"".join(literal(name, value) for name, value in found)


def opening(stream: int, data: bytes, *, end: bool = True) -> bytes:
    """A HEADERS frame that holds the whole block."""
    return HeadersFrame(stream, data=data, flags=["END_HEADERS", *(["END_STREAM"] if end else [])]).serialize()


def body(stream: int, data: bytes) -> bytes:
    """The whole body of a stream."""
    return DataFrame(stream, data=data, flags=["END_STREAM"]).serialize()


def reset(stream: int) -> bytes:
    """The stream's end by its client."""
    return RstStreamFrame(stream, error_code=CANCEL).serialize()


class Http2:
    """A connection over which frames go as they are; the server's are read, and none is answered by itself.

    Args:
        settings: what is announced, by number; 4 is the window that each stream begins with.
    """

    def __init__(self, server: NginxServer, settings: dict[int, int] | None = None) -> None:
        self._connection: Connection = connect(server, protocol="h2")
        assert isinstance(self._connection.raw, ssl.SSLSocket)
        assert self._connection.raw.selected_alpn_protocol() == "h2"
        self._decoder = hpack.Decoder()
        self._ended = False
        self.sent = 0
        self.send(PREFACE + SettingsFrame(0, settings=settings or {}).serialize())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._connection.raw.close()

    def send(self, data: bytes) -> bool:
        """Write bytes; whether the server still takes them."""
        try:
            self._connection.raw.sendall(data)
        except (OSError, TimeoutError):
            self._ended = True
            return False
        self.sent += len(data)
        return True

    def frame(self) -> Frame | None:
        """The next frame, None where the connection has ended."""
        with contextlib.suppress(AssertionError, OSError):
            found, length = Frame.parse_frame_header(memoryview(self._connection.read_exactly(FRAME_HEAD)))
            found.parse_body(memoryview(self._connection.read_exactly(length)))
            return found
        return None

    def status(self, stream: int) -> int | None:
        """How the stream is answered; None where it, or the connection, is ended instead."""
        while (found := self.frame()) is not None:
            if isinstance(found, HeadersFrame):
                decoded = dict(self._decoder.decode(found.data, raw=True))
                if found.stream_id == stream:
                    return int(decoded[b":status"])
            elif isinstance(found, RstStreamFrame) and found.stream_id == stream:
                return None
        return None

    def lives(self) -> bool:
        """Whether the server still answers a ping, having read all that was sent before."""
        if self._ended or not self.send(PingFrame(0, opaque_data=b"are you?").serialize()):
            return False
        while (found := self.frame()) is not None:
            if isinstance(found, PingFrame) and found.opaque_data == b"are you?" and "ACK" in found.flags:
                return True
        return False
