"""Applications for real workers, named on the command line as `tests.server.apps:NAME`."""

import asyncio
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

from gateway.core.asgi import ASGIApp, Receive, Scope, Send
from gateway.core.worker import WorkerIdentity
from gateway.observability.families.requests import DISCONNECTS, IN_FLIGHT
from gateway.observability.metrics import Metrics
from tests.server.door import reply

STREAM_SECS = 0.02
"""Between two parts of an endless stream."""
BLOCKED_SECS = 0.01
"""Between two looks whether a loop that stands still may go on."""


class Application:
    """Answers with its worker's pid and index, streams for as long as it is asked to, and dies when told to."""

    def __init__(self, worker: WorkerIdentity, word: str = "") -> None:
        self._worker = worker
        self._word = word
        self._cut = asyncio.Event()
        self._metrics = Metrics(worker.page)
        self._metrics.move(IN_FLIGHT, 1)
        worker.drain.on_deadline(self._cut.set)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await receive()
            await send({"type": "lifespan.startup.complete"})
            await receive()
            await send({"type": "lifespan.shutdown.complete"})
            return
        self._metrics.count(DISCONNECTS, "arrived")
        query = scope["query_string"].decode()
        match scope["path"]:
            case "/stream":
                await self._stream(send, Path(query))
            case "/die":
                os.kill(os.getpid(), signal.SIGKILL)
            case "/block":
                await reply(send, b"blocking")
                asyncio.get_running_loop().call_soon(_block, Path(query))
            case _:
                await reply(send, self._situation())

    def _situation(self) -> bytes:
        worker = self._worker
        return f"{os.getpid()} {worker.index} {worker.drain.draining:d} {worker.request_ids} {self._word}".encode()

    async def _stream(self, send: Send, until: Path) -> None:
        """Parts until a file exists, then the end; or a farewell when the drain's time is over."""
        await send({"type": "http.response.start", "status": 200, "headers": [(b"x-worker", b"%d" % os.getpid())]})
        while not until.exists() and not self._cut.is_set():  # noqa: ASYNC240 -- a signal to another process
            await send({"type": "http.response.body", "body": b"part\n", "more_body": True})
            await asyncio.sleep(STREAM_SECS)  # noqa: TID251 -- a stream in another process keeps real time
        farewell = b"cut off" if self._cut.is_set() else b"the end"
        await send({"type": "http.response.body", "body": farewell})


def _block(until: Path) -> None:
    while not until.exists():
        time.sleep(BLOCKED_SECS)


def build(settings: Any, worker: WorkerIdentity) -> ASGIApp:
    del settings
    return Application(worker)


def refuse(_: Any, __: WorkerIdentity) -> ASGIApp:
    raise ValueError("two groups claim\none model name")


def broken(_: Any, __: WorkerIdentity) -> ASGIApp:
    raise KeyError("chat")


def fails_to_open(_: Any, __: WorkerIdentity) -> ASGIApp:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "lifespan.startup.failed", "message": f"the store's directory belongs to {scope['type']}"})

    return app


def hangs_in_its_start(_: Any, __: WorkerIdentity) -> ASGIApp:
    """Its loop turns, and it never says that it has begun."""

    async def app(_: Scope, receive: Receive, __: Send) -> None:
        await receive()
        _say_that_it_hangs()
        await receive()

    return app


def stands_still_in_its_start(_: Any, __: WorkerIdentity) -> ASGIApp:
    """Its loop does not turn, and so hears no signal."""

    async def app(*_: object) -> None:
        _say_that_it_hangs()
        _block(Path("/dev/null/never"))

    return app


def _say_that_it_hangs() -> None:
    os.write(sys.stderr.fileno(), b"it hangs\n")


def loses_what_it_holds(_: Any, worker: WorkerIdentity) -> ASGIApp:
    """`/lose` ends its life, not the requests that run."""
    application = Application(worker)
    lost = asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await receive()
            await send({"type": "lifespan.startup.complete"})
            ends = [asyncio.ensure_future(end) for end in (receive(), lost.wait())]
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
            if lost.is_set():
                raise OSError("the store has gone")
            return
        await application(scope, receive, send)
        if scope["path"] == "/lose":
            lost.set()

    return app


def silent(_: Any, __: WorkerIdentity) -> ASGIApp:
    os._exit(7)
