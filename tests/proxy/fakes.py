"""Backends without sockets: replies that come as a test says, and a wire that is scripted."""

import asyncio
from collections.abc import Sequence

from gateway.core.asgi import Headers, first_of
from gateway.core.context import Phase
from gateway.core.endpoint import ModelKind
from gateway.core.fleet import Backend, BackendGroup
from gateway.payload.peek import Peek
from gateway.proxy.planner import Plan
from gateway.routing.registry import Route
from gateway.upstream.address import Address
from gateway.upstream.protocol import Take, UpstreamRequest

JSON_FIELD = (b"content-type", b"application/json")
EVENTS_FIELD = (b"content-type", b"text/event-stream; charset=utf-8")
BACKENDS = tuple(Backend(f"chat{number}", f"http://chat{number}:8000") for number in range(3))
GROUP = BackendGroup("chat", ModelKind.CHAT, "qwen", ("Qwen/Qwen2.5-7B-Instruct",), BACKENDS)
ADDRESSES = {backend.name: Address.parse(backend.url) for backend in BACKENDS}


class FakeReply:
    """A reply whose body comes piece by piece.

    Attributes:
        pieces: what each `read` gives: bytes, or a failure to raise; behind the last one comes the clean end.
        hangs: behind the last piece nothing comes at all.
        closed: how often it was closed.
        waits: set when somebody waits for what never comes.
    """

    def __init__(
        self,
        *pieces: bytes | Exception,
        status: int = 200,
        headers: Sequence[tuple[bytes, bytes]] = (JSON_FIELD,),
        content_length: int | None = None,
        hangs: bool = False,
    ) -> None:
        self.pieces = list(pieces)
        self.status = status
        self.headers: Headers = list(headers)
        self.content_type = first_of(self.headers, b"content-type")
        self.content_length = content_length
        self.hangs = hangs
        self.closed = 0
        self.discarded = False
        self.reads = 0
        self.waits = asyncio.Event()

    @property
    def complete(self) -> bool:
        return not self.pieces and not self.hangs

    async def read(self) -> bytes:
        assert not self.closed, "read from a closed reply"
        self.reads += 1
        if self.pieces:
            piece = self.pieces.pop(0)
            if isinstance(piece, Exception):
                raise piece
            return piece
        if self.hangs:
            self.waits.set()
            await asyncio.get_running_loop().create_future()
        return b""

    async def pour(self, take: Take) -> None:
        while data := await self.read():
            if not take(data):
                return

    def close(self) -> None:
        self.closed += 1

    def discard(self) -> None:
        self.discarded = True


def whole(body: bytes, status: int = 200, headers: Sequence[tuple[bytes, bytes]] = (JSON_FIELD,)) -> FakeReply:
    """A reply of stated length, all of it there."""
    return FakeReply(body, status=status, headers=headers, content_length=len(body))


def events(*pieces: bytes | Exception, hangs: bool = False) -> FakeReply:
    """A stream."""
    return FakeReply(*pieces, headers=(EVENTS_FIELD,), hangs=hangs)


class ScriptedClient:
    """An `UpstreamClient` whose backends answer by turns; what is not in the script is never answered.

    Attributes:
        asked: the backend and the request of every exchange, in order.
    """

    def __init__(self, **script: list[FakeReply | Exception]) -> None:
        self._script = script
        self.asked: list[tuple[str, UpstreamRequest]] = []
        self.waits = asyncio.Event()

    @property
    def order(self) -> list[str]:
        return [name for name, _ in self.asked]

    async def send(self, address: Address, request: UpstreamRequest) -> FakeReply:
        name = next(name for name, known in ADDRESSES.items() if known == address)
        self.asked.append((name, request))
        outcomes = self._script.get(name)
        if not outcomes:
            self.waits.set()
            await asyncio.get_running_loop().create_future()
            raise AssertionError
        outcome = outcomes.pop(0)
        if isinstance(outcome, Exception):
            raise outcome
        if request.progress is not None:
            request.progress.phase = Phase.WAITING
        return outcome

    async def aclose(self) -> None: ...


def plan_of(asked: str = "qwen", **peeked: object) -> Plan:
    """A plan for the group; `asked` is the name that the client used."""
    return Plan(Route(GROUP, asked), b'{"model":"qwen"}', Peek(**peeked))  # type: ignore[arg-type]  # its own fields
