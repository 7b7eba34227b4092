"""What is counted? The gateway as one worker builds it, between a client and a backend on loopback in the same loop.

One request runs at a time, and every piece of an answer is sent when the one before has arrived: what the sockets
carry, and in how many pieces, is the same in every run.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast
from unittest.mock import patch

import orjson
import uvloop

from gateway.app import build
from gateway.catalog.reader import Catalog
from gateway.core.asgi import ASGIApp, Message
from gateway.core.clock import Clock
from gateway.core.worker import WorkerIdentity
from gateway.limits.allowances import Allowances
from gateway.limits.quotas import Quotas
from gateway.settings import Settings, load
from gateway.store.lmdb import LmdbStore
from gateway.store.protocol import LimiterStore
from tests.server.door import Door, serving
from tests.streaming.wire import DONE

PATIENCE_SECS = 20.0
KEY = "sk-guard"
MODEL = "Qwen/Qwen2.5-7B-Instruct"
"""What clients ask for."""
SERVED = "qwen"
"""What the backend calls it in its answers: the first of its names."""
NEVER_SECS = 3600.0
"""Longer than any measurement: the prober asks once, at the start."""
LOOK_AGAIN_SECS = 0.005

MESSAGES = [
    {"role": "system", "content": "You answer in one sentence."},
    {"role": "user", "content": "Which of the tables holds the orders of the last quarter? " * 4},
]
ANSWER = {
    "object": "chat.completion",
    "created": 1795225026,
    "model": SERVED,
    "choices": [
        {
            "index": 0,
            "message": {"role": "assistant", "content": "The table orders_2026 holds them. " * 6, "tool_calls": []},
            "logprobs": None,
            "finish_reason": "stop",
        }
    ],
    "usage": {"prompt_tokens": 61, "total_tokens": 109, "completion_tokens": 48},
}
JSON_HEAD = b"HTTP/1.1 200 OK\r\ndate: Sat, 21 Nov 2026 01:00:00 GMT\r\nserver: uvicorn\r\ncontent-length: %d\r\n"
STREAM_HEAD = (
    b"HTTP/1.1 200 OK\r\ndate: Sat, 21 Nov 2026 01:00:00 GMT\r\nserver: uvicorn\r\n"
    b"content-type: text/event-stream; charset=utf-8\r\ntransfer-encoding: chunked\r\n\r\n"
)
JSON_TYPE = b"content-type: application/json\r\n\r\n"


def event(request_id: bytes, number: int) -> bytes:
    """A token's event as vLLM writes it when it states its usage so far, in its chunk."""
    data = (
        b'data: {"id":"chatcmpl-%b","object":"chat.completion.chunk","created":1795225026,"model":"%b","choices":'
        b'[{"index":0,"delta":{"content":" word"},"logprobs":null,"finish_reason":null}],"usage":{"prompt_tokens":61,'
        b'"total_tokens":%d,"completion_tokens":%d}}\n\n' % (request_id, SERVED.encode(), 161 + number, 100 + number)
    )
    return in_chunk(data)


def in_chunk(data: bytes) -> bytes:
    """In the framing of a body of unstated length."""
    return b"%x\r\n%b\r\n" % (len(data), data)


class Peer(asyncio.Protocol):
    """One end of a connection: what has come, and a wait for more."""

    def __init__(self) -> None:
        self.received = b""
        self.transport: asyncio.Transport
        self._news = asyncio.Event()
        self._lost = asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self.received += data
        self._news.set()

    def connection_lost(self, exc: Exception | None) -> None:
        del exc
        self._lost.set()

    async def leave(self) -> None:
        """Close the connection; it is closed on return."""
        self.transport.abort()
        async with asyncio.timeout(PATIENCE_SECS):
            await self._lost.wait()

    async def until(self, enough: Callable[[bytes], bool]) -> bytes:
        """What has come, once that is enough."""
        async with asyncio.timeout(PATIENCE_SECS):
            while not enough(self.received):
                self._news.clear()
                await self._news.wait()
        return self.received


class Backend(Peer):
    """A model server's end: it answers whole requests at once, and streams wait for `say`."""

    def __init__(self, streams: "list[Backend]") -> None:
        super().__init__()
        self.request_id = b""
        self._streams = streams

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        head, end, body = self.received.partition(b"\r\n\r\n")
        fields = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:])
        if not end or len(body) < int(fields.get(b"content-length", 0)):
            return
        self.received = b""
        self.request_id = fields.get(b"x-request-id", b"")
        if head.startswith(b"GET"):
            self._answer({"object": "list", "data": [{"id": name, "max_model_len": 8192} for name in (SERVED, MODEL)]})
        elif orjson.loads(body).get("stream"):
            self.transport.write(STREAM_HEAD + event(self.request_id, 0))
            self._streams.append(self)
        else:
            self._answer({"id": f"chatcmpl-{self.request_id.decode()}", **ANSWER})

    def say(self, data: bytes) -> None:
        """Send a piece of a stream."""
        self.transport.write(data)

    def _answer(self, answer: object) -> None:
        body = orjson.dumps(answer)
        self.transport.write(JSON_HEAD % len(body) + JSON_TYPE + body)


def request(**fields: object) -> bytes:
    """A client's chat request as the wire carries it."""
    body = orjson.dumps({"model": MODEL, "messages": MESSAGES, "max_tokens": 256, "temperature": 0.2, **fields})
    return (
        b"POST /v1/chat/completions HTTP/1.1\r\nhost: gateway:9000\r\nauthorization: Bearer %b\r\naccept: */*\r\n"
        b"content-type: application/json\r\nuser-agent: guard\r\ncontent-length: %d\r\n\r\n%b"
        % (KEY.encode(), len(body), body)
    )


def whole(received: bytes) -> bool:
    """Whether an answer of stated length is there."""
    head, end, body = received.partition(b"\r\n\r\n")
    return bool(end) and len(body) == int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])


@dataclass
class Stage:
    """The gateway between its two ends.

    Attributes:
        door: where clients connect.
        streams: the backends' ends of the streams that run, oldest first.
        clients: all connections of clients.
    """

    door: Door
    streams: list[Backend]
    clients: list[Peer] = field(default_factory=list)

    async def client(self) -> Peer:
        """A client's new connection."""
        loop = asyncio.get_running_loop()
        _, peer = await loop.create_connection(Peer, "127.0.0.1", self.door.port)
        self.clients.append(peer)
        return peer

    async def ask(self, client: Peer) -> bytes:
        """One whole chat answer on this connection."""
        client.received = b""
        client.transport.write(request())
        answer = await client.until(whole)
        assert answer.startswith(b"HTTP/1.1 200 "), answer
        await self._settled()
        return answer

    async def open_stream(self, client: Peer) -> Backend:
        """The backend's end of a stream whose first event the client has."""
        client.received = b""
        known = len(self.streams)
        client.transport.write(request(stream=True))
        await client.until(lambda received: received.count(b"data:") == 1)
        assert len(self.streams) == known + 1
        return self.streams[-1]

    async def event(self, client: Peer, backend: Backend, number: int) -> None:
        """One more event, from the backend to the client."""
        backend.say(event(backend.request_id, number))
        await client.until(lambda received: received.count(b"data:") == number + 1)

    async def end_stream(self, client: Peer, backend: Backend) -> bytes:
        """The stream's end; everything that the client has got."""
        self.streams.remove(backend)
        backend.say(in_chunk(DONE) + b"0\r\n\r\n")
        answer = await client.until(lambda received: received.endswith(b"\r\n0\r\n\r\n"))
        assert DONE in answer, answer
        if not self.streams:
            await self._settled()
        return answer

    async def ready(self) -> None:
        """Return when the prober has found the backend: a plan is another one while a context's length is unknown."""
        asking = await self.client()
        async with asyncio.timeout(PATIENCE_SECS):
            while not asking.received.startswith(b"HTTP/1.1 200 "):
                await asyncio.sleep(LOOK_AGAIN_SECS)  # noqa: TID251 -- a probe's end has no event
                asking.received = b""
                asking.transport.write(b"GET /ready HTTP/1.1\r\nhost: gateway:9000\r\n\r\n")
                await asking.until(whole)

    async def _settled(self) -> None:
        """Return when no request runs any more: an answer's last byte is out before its line is written."""
        while self.door.state.tasks:  # noqa: ASYNC110 -- the server keeps a set, and tells nobody of its end
            await asyncio.sleep(0)  # noqa: TID251 -- no time passes: a turn of the loop


@asynccontextmanager
async def stage(
    folder: Path, wrap: Callable[[ASGIApp], ASGIApp] = lambda app: app, *, access_log: bool = True
) -> AsyncIterator[Stage]:
    """The application of `gateway.app.build` with its default settings, behind its own server, before one backend.

    The store's timer stands still: it would fall into one run and not into the next, and the request behind it takes
    what the timer has given back. Usage is recorded, as it is where a control process takes the records away.

    Args:
        folder: for the shared state, which is LMDB's as in production.
        wrap: puts something around the application.
        access_log: off where memory is counted: lines wait for their thread, for as long as it sleeps.
    """
    assert isinstance(asyncio.get_running_loop(), uvloop.Loop)
    streams: list[Backend] = []
    backends: list[Backend] = []

    def backend() -> Backend:
        backends.append(Backend(streams))
        return backends[-1]

    server = await asyncio.get_running_loop().create_server(backend, "127.0.0.1", 0)
    try:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        with patch("gateway.app.build_quotas", _journaled):
            app = build(_settings(url, folder, access_log=access_log), WorkerIdentity())
        with patch.object(LmdbStore, "_tick", lambda _: None):
            async with _living(app), serving(wrap(app)) as door:
                built = Stage(door, streams)
                try:
                    await built.ready()
                    yield built
                finally:
                    for client in built.clients:
                        await client.leave()
    finally:
        server.close()
        for peer in backends:
            await peer.leave()


def _journaled(settings: Settings, store: LimiterStore, catalog: Catalog | None, clock: Clock) -> Quotas:
    """What `gateway.app.build_quotas` makes under a supervisor; this application has none."""
    return Quotas(settings, store.accounts, Allowances(settings, catalog), clock, journaled=True)


def _settings(url: str, folder: Path, *, access_log: bool) -> Settings:
    given = {
        "access_log": access_log,
        "gateway_api_key": KEY,
        "backend_api_key": "internal",
        "chat_backends": url,
        "limiter_path": folder,
        "log_format": "json",
        "max_rps_per_ip": 100_000,
        "rps_burst": 100_000,
        "org_daily_request_limit": 1_000_000,  # further away than the bucket's, as by default
        "backend_probe_interval_secs": NEVER_SECS,
    }
    return load(None, **given)


@asynccontextmanager
async def _living(app: ASGIApp) -> AsyncIterator[None]:
    """The application's lifespan: it has started inside, and has ended behind."""
    told: asyncio.Queue[Message] = asyncio.Queue()
    asked: asyncio.Queue[Message] = asyncio.Queue()
    life = asyncio.ensure_future(app({"type": "lifespan"}, asked.get, told.put))
    asked.put_nowait({"type": "lifespan.startup"})
    assert (await told.get())["type"] == "lifespan.startup.complete"
    try:
        yield
    finally:
        asked.put_nowait({"type": "lifespan.shutdown"})
        assert (await told.get())["type"] == "lifespan.shutdown.complete"
        await life
