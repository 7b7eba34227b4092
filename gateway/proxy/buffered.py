"""How is an answer read that may have to be taken back? Whole and bounded, before anybody decides whose it is."""

from gateway.core.asgi import Headers, first_of
from gateway.core.errors import BadGatewayError
from gateway.proxy.pieces import HOLD_BYTES
from gateway.upstream.protocol import Reply, Take


class BufferedReply:
    """A reply whose body was read already."""

    complete = True

    def __init__(self, status: int, headers: Headers, body: bytes) -> None:
        self.status = status
        self.headers = headers
        self.content_type = first_of(headers, b"content-type")
        self.content_length: int | None = len(body)
        self._body = body

    async def read(self) -> bytes:
        """The whole body, then nothing."""
        body, self._body = self._body, b""
        return body

    async def pour(self, take: Take) -> None:
        """The whole body at once."""
        take(await self.read())

    def close(self) -> None:
        """There is nothing to close."""

    def discard(self) -> None:
        """There is nothing to close."""


async def read_bounded(reply: Reply) -> bytes:
    """The body up to HOLD_BYTES; what is larger is no error message and raises BadGatewayError."""
    parts, size = [], 0
    while data := await reply.read():
        parts.append(data)
        size += len(data)
        if size > HOLD_BYTES:
            raise BadGatewayError("The model server's error answer was too large to be one.")
    return b"".join(parts)
