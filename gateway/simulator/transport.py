"""How does an answer break below HTTP? uvicorn's own protocol, with a handle on its socket for the faults."""

import contextlib
import socket
import struct
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

_KEY = "simulator.connection"
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)


class Connection:
    """One client's connection, as a fault may handle it."""

    def __init__(self, protocol: "Protocol") -> None:
        self._protocol = protocol

    def reset(self) -> None:
        """Send RST, not FIN: the kernel does so when it closes a socket whose linger time is zero."""
        transport = self._protocol.transport
        peer = transport.get_extra_info("socket")
        with contextlib.suppress(OSError):
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        transport.abort()

    def close(self) -> None:
        """Send what is written, then FIN, whatever the answer still owes."""
        self._protocol.transport.close()

    def write(self, data: bytes) -> None:
        """Put bytes on the wire that HTTP did not ask for."""
        self._protocol.transport.write(data)

    def is_idle(self) -> bool:
        """Whether no request is being answered on it."""
        return self._protocol.is_idle()


class Protocol(HttpToolsProtocol):
    """The same bytes as uvicorn's, with the connection in the ASGI scope."""

    def is_idle(self) -> bool:
        """Whether no request is being answered."""
        cycle: RequestResponseCycle | None = self.cycle
        return cycle is None or cycle.response_complete

    def on_message_begin(self) -> None:
        """Give each request's scope the connection it came on."""
        super().on_message_begin()
        self.scope["extensions"] = {_KEY: Connection(self)}  # type: ignore[dict-item]  # an own extension


def connection_of(scope: Any) -> Connection:  # noqa: ANN401 -- an ASGI scope is an open mapping
    """The connection a request came on."""
    connection = scope["extensions"][_KEY]
    assert isinstance(connection, Connection)  # noqa: S101 -- the protocol above has put it there
    return connection
