"""How do a client's bytes become heads? Read by httptools, judged by us; a line that repeats is judged once."""

from typing import Any, Protocol

import httptools

from gateway.core.asgi import Headers
from gateway.core.errors import BadRequestError, GatewayError
from gateway.server.framing import framing_alone
from gateway.server.head import DECISIVE, MAX_HEADERS, check_head, check_size, too_long, too_many
from gateway.server.scope import state_line

BLANK = 32
UNREAD = b"\n"
"""Stands for a request line that nothing begins with."""


class Requests(Protocol):
    """Whoever is told what was read: the client's connection."""

    def head_begins(self) -> None:
        """The first byte of a head has come. Raises what ends the reading, where no request may begin."""
        ...

    def head_is_there(self) -> None:
        """The head's last byte has come; it is judged now."""
        ...

    def begin(self) -> None:
        """The head is accepted; its body may follow."""
        ...

    def on_body(self, data: bytes) -> None:
        """A part of the body, without its chunks' framing."""
        ...

    def on_message_complete(self) -> None:
        """The request is complete."""
        ...


class HeadReader:
    """Reads a client's heads, one after another; httptools' protocol. An `Upgrade` is ignored without losing the body.

    Args:
        requests: is told what was read, and asks then for the attributes.
        max_bytes: of one head.

    Attributes:
        in_head: a head has begun and is not complete.
        before: bytes of the head in what was fed before the chunk that is parsed now.
        url: the request's target.
        headers: the head's fields, names in small letters.
        decisive: those of them that decide how the request is read.
        modern: the version is HTTP/1.1.
        scope: see `scope_between`, with what the last request line said.
        parser: httptools', which knows whether the client wants the connection to stay, or another protocol.
    """

    __slots__ = (
        "_accepted",
        "_chunk",
        "_line",
        "_max_bytes",
        "_replaying",
        "_requests",
        "before",
        "decisive",
        "headers",
        "in_head",
        "modern",
        "on_body",
        "on_message_complete",
        "parser",
        "scope",
        "url",
    )

    def __init__(self, requests: Requests, max_bytes: int) -> None:
        self._requests = requests
        self._max_bytes = max_bytes
        self.on_body = requests.on_body
        self.on_message_complete = requests.on_message_complete
        self._replaying = False
        """A fresh parser is told of a head that we know."""
        self.in_head = False
        self.before = 0
        self.url = b""
        self.headers: Headers = []
        self.decisive: Headers = []
        self._accepted: Headers | None = None
        """The last ones of HTTP/1.1 that `check_head` had nothing against: a proxy's connection repeats them."""
        self._chunk = b""
        """What is being parsed."""
        self._line = UNREAD
        """The last request line: what the scope says of it holds for any later request that begins with the same bytes.
        Of a head that comes in pieces, those up to the one that ends its line."""
        self.modern = True
        self.scope: dict[str, Any] = {}
        self.parser = httptools.HttpRequestParser(self)

    def feed(self, data: bytes) -> bytes:
        """Read on; what is left to be fed, where an `Upgrade` was ignored.

        Raises:
            GatewayError: it cannot be read on.
        """
        self._chunk, rest = data, b""
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            rest = data[upgrade.args[0] :]
            self._ignore_upgrade()
        except httptools.HttpParserError as error:
            raise _refusal_of(error.__context__) from None
        finally:
            self._chunk = b""
        return rest

    def await_rest(self, data: bytes) -> None:
        """The head did not end in what was fed.

        Raises:
            GatewayError: it is too long by now.
        """
        if not self.before:
            self._line = data
        elif b"\n" not in self._line:
            self._line += data
        self.before += len(data)
        if self.before > self._max_bytes:
            raise too_long(self._max_bytes)

    # httptools' callbacks

    def on_message_begin(self) -> None:
        """The first byte of a head."""
        if self._replaying:
            return
        self._requests.head_begins()
        self.in_head = True
        self.before = 0
        self.url = b""
        self.headers = []
        self.decisive = []

    def on_url(self, url: bytes) -> None:
        """A part of the request's target."""
        if self.in_head:
            self.url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header field, or a trailer's, which nobody asks for."""
        if not self.in_head:
            return
        name = name.lower()
        if value and value[-1] <= BLANK:
            value = value.rstrip(b" \t")  # llhttp leaves what stands behind a value
        headers = self.headers
        headers.append((name, value))
        if name in DECISIVE:
            self.decisive.append((name, value))
        if len(headers) > MAX_HEADERS:
            raise too_many()

    def on_headers_complete(self) -> None:
        """The head is complete: the application may begin."""
        if self._replaying:
            return
        self.in_head = False
        self._requests.head_is_there()
        chunk = self._chunk
        if self.before + len(chunk) + MAX_HEADERS > self._max_bytes:  # else it cannot be too long
            check_size(self.url, self.headers, self._max_bytes)
        if self.before or not chunk.startswith(self._line):
            self._read_line()
        elif self.decisive != self._accepted:
            self._check_head("1.1" if self.modern else "1.0")
        self._requests.begin()

    # Our own.

    def _read_line(self) -> None:
        """Ask the parser what it read in a request line that is not the last one's, and judge the head by it."""
        read = self._line + self._chunk if self.before else self._chunk
        self._line = UNREAD
        line = read[: read.index(b"\n") + 1]
        # To the parser, RTSP/1.0 and ICE/1.0 are versions as good as HTTP/1.0.
        version = self.parser.get_http_version() if line.rpartition(b" ")[2].startswith(b"HTTP/") else ""
        self.modern = version == "1.1"
        self._check_head(version)
        state_line(self.scope, version, self.parser.get_method(), self.url)
        self._line = line

    def _check_head(self, version: str) -> None:
        check_head(version, self.decisive)
        self._accepted = self.decisive if version == "1.1" else None

    def _ignore_upgrade(self) -> None:
        """Read on as if `Upgrade` had not been asked for: the parser takes what follows for another protocol's.

        A fresh parser is told the framing of the body alone; its callbacks for that head are deaf.
        """
        self.parser = httptools.HttpRequestParser(self)
        self._replaying = True
        self.parser.feed_data(framing_alone(self.headers))
        self._replaying = False


def _refusal_of(reason: BaseException | None) -> GatewayError:
    """What a callback raised, if it was for the client; else, that it is no HTTP, or not its turn."""
    return reason if isinstance(reason, GatewayError) else BadRequestError("The request is not valid HTTP/1.1.")
