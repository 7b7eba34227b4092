"""A protocol on a socket in memory: what a real one brings together, and in which pieces, nobody can say."""

import asyncio
import re
from dataclasses import dataclass, field
from typing import Any

from gateway.core.asgi import FIELDS_EXTENSION, Receive, Scope, Send, fields_of
from gateway.core.worker import Refused
from gateway.server.connection import ConnectionLimits
from gateway.server.protocol import HttpProtocol
from gateway.server.serving import Serving
from gateway.server.slow_readers import SlowReaders
from gateway.server.usual import UsualRequests
from tests.server.door import read_body, reply, turns

REQUEST_ID = re.compile(rb"[0-9a-f]{32}")


class Wire(asyncio.Transport):
    """What a protocol writes, and how it ends it."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""
        self.ended = ""

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        del name, default

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """As large as may be."""

    def get_write_buffer_size(self) -> int:
        return 0

    def pause_reading(self) -> None:
        """The test brings all that it has."""

    def resume_reading(self) -> None:
        """See above."""

    def is_closing(self) -> bool:
        return bool(self.ended)

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written += data

    def write_eof(self) -> None:
        self.written += b"<end>"

    def close(self) -> None:
        self.ended = self.ended or "closed"

    def abort(self) -> None:
        self.ended = "aborted"


@dataclass
class Visit:
    """One connection, and what became of what it sent."""

    usual: UsualRequests
    max_header_bytes: int = 65536
    scopes: list[Scope] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)
    refused: list[Refused] = field(default_factory=list)
    wire: Wire = field(default_factory=Wire)
    state: Serving = field(default_factory=Serving)

    def __post_init__(self) -> None:
        limits = ConnectionLimits(10.0, 75.0, self.max_header_bytes, SlowReaders(60.0), self.usual)
        self.protocol = HttpProtocol(self.state, {}, app=self.app, limits=limits, refused=self.refused.append)
        self.protocol.connection_made(self.wire)

    async def app(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.scopes.append(scope)
        self.bodies.append(await read_body(receive))
        await reply(send, self.bodies[-1])

    async def send(self, *pieces: bytes) -> "Visit":
        """Each piece in its turn, until the server closes."""
        for piece in pieces:
            if not self.wire.ended:
                self.protocol.data_received(piece)
                await turns()
        return self

    async def outcome(self) -> Any:
        """All that application, client and operator are told."""
        before = (self.wire.written, self.wire.ended, self.protocol._head_timer is None)
        self.protocol.connection_lost(None)
        await asyncio.gather(*self.state.tasks, return_exceptions=True)
        scopes = []
        for scope in self.scopes:
            fields = scope["extensions"].get(FIELDS_EXTENSION) or fields_of(scope["headers"])
            scopes.append({**scope, "extensions": fields})
        refused = [(each.status, each.outcome, each.target) for each in self.refused]
        return scopes, self.bodies, refused, REQUEST_ID.sub(b"id", before[0]), *before[1:]
