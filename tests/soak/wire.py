"""How does the load ask? A client that knows its port, may leave at any moment, and tells whole from broken."""

import asyncio
from dataclasses import dataclass, field
from typing import Self

import orjson

from tests.support.gateway import KEY

ENOUGH_SECS = 60.0


class BrokenError(Exception):
    """The connection ended, or could not be made, before the answer was whole."""


@dataclass(slots=True)
class Answer:
    """What came of a request."""

    status: int = 0
    fields: dict[str, str] = field(default_factory=dict)
    body: bytes = b""

    @property
    def request_id(self) -> str:
        """The gateway's, which begins with its worker's prefix; empty where no head came."""
        return self.fields.get("x-request-id", "")


class Visit:
    """One kept-alive connection.

    Attributes:
        port: the client's end of it, by which a killed worker's connections are known.
        answer: what has come of the answer to the newest request.
    """

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self.port: int = writer.get_extra_info("sockname")[1]
        self.answer = Answer()
        self.is_open = True

    @classmethod
    async def begin(cls, port: int) -> Self:
        """Connect.

        Raises:
            BrokenError: nobody listens.
        """
        try:
            return cls(*await asyncio.open_connection("127.0.0.1", port))
        except OSError as error:
            raise BrokenError(str(error)) from error

    async def post(self, path: str, content: dict[str, object]) -> Answer:
        """Ask, and read the whole answer.

        Raises:
            BrokenError: the connection ended first, or nothing came for a minute.
        """
        self.answer = Answer()
        data = orjson.dumps(content)
        head = (
            f"POST {path} HTTP/1.1\r\nHost: soak\r\nAuthorization: Bearer {KEY}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(data)}\r\n\r\n"
        )
        try:
            async with asyncio.timeout(ENOUGH_SECS):
                self._writer.write(head.encode() + data)
                await self._read_head()
                await self._read_body()
        except (OSError, EOFError, TimeoutError) as error:
            self.leave()
            raise BrokenError(repr(error)) from error
        if self.answer.fields.get("connection", "").lower() == "close":
            self.leave()
        return self.answer

    def leave(self) -> None:
        """Close at once, whatever is on its way: the kernel resets what comes later."""
        self.is_open = False
        self._writer.transport.abort()

    async def _read_head(self) -> None:
        head = (await self._reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        status, *lines = head.rstrip("\r\n").split("\r\n")
        self.answer.status = int(status.split(" ")[1])
        self.answer.fields = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}

    async def _read_body(self) -> None:
        if "content-length" in self.answer.fields:
            self.answer.body = await self._reader.readexactly(int(self.answer.fields["content-length"]))
            return
        while size := int((await self._reader.readuntil(b"\r\n")).split(b";")[0], 16):
            self.answer.body += (await self._reader.readexactly(size + 2))[:-2]
        await self._reader.readexactly(2)
