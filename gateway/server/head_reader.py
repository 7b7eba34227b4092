"""How do a client's bytes become heads? Read by httptools, judged by us; a line that repeats is judged once."""

import asyncio
from abc import abstractmethod
from typing import Any

import httptools

from gateway.core.asgi import Headers
from gateway.core.errors import GatewayError
from gateway.server.connection import ClientSocket, ConnectionLimits, address_of
from gateway.server.framing import framing_alone
from gateway.server.head import DECISIVE, MAX_HEADERS, check_head, check_size, too_long, too_many
from gateway.server.scope import scope_between, state_line
from gateway.server.serving import Serving

BLANK = 32
UNREAD = b"\n"
"""Stands for a request line that nothing begins with."""


class PipelinedError(Exception):
    """Raised in a parser's callback: a second request stands behind one that is not answered yet."""


class HeadReader(ClientSocket):
    """A client's socket whose heads are read, one after another; what becomes of a request is said by who inherits.

    An `Upgrade` is ignored without losing the body.
    """

    __slots__ = (
        "_accepted",
        "_chunk",
        "_decisive",
        "_head_bytes",
        "_headers",
        "_line",
        "_modern",
        "_parser",
        "_replaying",
        "_scope",
        "_url",
    )

    def __init__(self, server: Serving, loop: asyncio.AbstractEventLoop, limits: ConnectionLimits) -> None:
        super().__init__(server, loop, limits)
        self._parser = httptools.HttpRequestParser(self)
        self._replaying = False
        """A fresh parser is told of a head that we know."""
        self._head_bytes = 0
        """Bytes of the head in what was parsed before the chunk that is parsed now."""
        self._url = b""
        self._headers: Headers = []
        self._decisive: Headers = []
        """Those of the headers that decide how the request is read."""
        self._accepted: Headers | None = None
        """The last ones of HTTP/1.1 that `check_head` had nothing against: a proxy's connection repeats them."""
        self._chunk = b""
        """What is being parsed."""
        self._line = UNREAD
        """The last request line: what the scope says of it holds for any later request that begins with the same bytes.
        Of a head that comes in pieces, those up to the one that ends its line."""
        self._modern = True
        """That line's version is HTTP/1.1."""
        self._scope: dict[str, Any] = {}
        """See `scope_between`, with what the last request line said."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as create_server makes
        """A client has connected; its first head is due."""
        super().connection_made(transport)
        client, server = transport.get_extra_info("peername"), transport.get_extra_info("sockname")
        self._scope = scope_between(address_of(client), address_of(server))

    # Who inherits says what becomes of a request.

    @abstractmethod
    def _begin(self) -> None:
        """The head is complete and accepted: `_headers`, `_decisive`, `_scope`; its body may follow."""

    @abstractmethod
    def _stop_parsing(self, reason: BaseException | None) -> None:
        """What came cannot be read on; None: it is no HTTP."""

    @abstractmethod
    def _refuse(self, error: GatewayError) -> None:
        """Answer in the application's stead a head that it will never see."""

    # httptools' callbacks

    def on_message_begin(self) -> None:
        """The first byte of a head."""
        if self._replaying:
            return
        if self._exchange is not None:
            raise PipelinedError
        self._in_head = True
        self._head_bytes = 0
        self._url = b""
        self._headers = []
        self._decisive = []

    def on_url(self, url: bytes) -> None:
        """A part of the request's target."""
        if self._in_head:
            self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header field, or a trailer's, which nobody asks for."""
        if not self._in_head:
            return
        name = name.lower()
        if value and value[-1] <= BLANK:
            value = value.rstrip(b" \t")  # llhttp leaves what stands behind a value
        headers = self._headers
        headers.append((name, value))
        if name in DECISIVE:
            self._decisive.append((name, value))
        if len(headers) > MAX_HEADERS:
            raise too_many()

    def on_headers_complete(self) -> None:
        """The head is complete: the application may begin."""
        if self._replaying:
            return
        self._in_head = False
        if self._head_timer is not None:
            self._head_is_there()
        chunk = self._chunk
        limit = self._limits.max_header_bytes
        if self._head_bytes + len(chunk) + MAX_HEADERS > limit:  # else it cannot be too long
            check_size(self._url, self._headers, limit)
        if self._head_bytes or not chunk.startswith(self._line):
            self._read_line()
        elif self._decisive != self._accepted:
            self._check_head("1.1" if self._modern else "1.0")
        self._begin()

    # For who inherits.

    def _parse(self, data: bytes) -> None:
        self._chunk = data
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self._ignore_upgrade(data[upgrade.args[0] :])
        except httptools.HttpParserError as error:
            self._stop_parsing(error.__context__)
        self._chunk = b""

    def _await_rest_of_head(self, data: bytes) -> None:
        if not self._head_bytes:
            self._line = data
        elif b"\n" not in self._line:
            self._line += data
        self._head_bytes += len(data)
        if self._head_bytes > self._limits.max_header_bytes:
            self._refuse(too_long(self._limits.max_header_bytes))
        else:
            self._expect_head()

    # Our own.

    def _read_line(self) -> None:
        """Ask the parser what it read in a request line that is not the last one's, and judge the head by it."""
        read = self._line + self._chunk if self._head_bytes else self._chunk
        self._line = UNREAD
        line = read[: read.index(b"\n") + 1]
        # To the parser, RTSP/1.0 and ICE/1.0 are versions as good as HTTP/1.0.
        version = self._parser.get_http_version() if line.rpartition(b" ")[2].startswith(b"HTTP/") else ""
        self._modern = version == "1.1"
        self._check_head(version)
        state_line(self._scope, version, self._parser.get_method(), self._url)
        self._line = line

    def _check_head(self, version: str) -> None:
        check_head(version, self._decisive)
        self._accepted = self._decisive if version == "1.1" else None

    def _ignore_upgrade(self, rest: bytes) -> None:
        """Read on as if `Upgrade` had not been asked for: the parser takes what follows for another protocol's.

        A fresh parser is told the framing of the body alone; its callbacks for that head are deaf.
        """
        self._parser = httptools.HttpRequestParser(self)
        self._replaying = True
        self._parser.feed_data(framing_alone(self._headers))
        self._replaying = False
        if rest:
            self.data_received(rest)
