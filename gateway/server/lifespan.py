"""How does an application begin and end? By ASGI's lifespan: it opens what it holds before there are requests."""

import asyncio
from collections.abc import Callable
from typing import Any

from gateway.core.asgi import ASGIApp, Message


class StartError(Exception):
    """The application cannot start; the message is for the operator."""


class Lifespan:
    """One application's life.

    Attributes:
        state: what the application leaves there, each request's scope has a copy of.
        on_failure: called with what the application raises between its beginning and its end.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.state: dict[str, Any] = {}
        self.on_failure: Callable[[Exception], None] = lambda _: None
        self._app = app
        self._life: asyncio.Task[None] | None = None
        self._begun = asyncio.Event()
        self._over = asyncio.Event()
        self._told_to_begin = False
        self._failure = "the application's startup failed"
        self._begins = False

    async def begin(self) -> None:
        """Return when the application has opened what it holds; cancelled, it has the application close that again.

        Raises:
            StartError: it could not.
        """
        self._life = asyncio.create_task(self._live(), name="application")
        try:
            await self._begun.wait()
        except asyncio.CancelledError:
            self._life.cancel()
            await asyncio.wait([self._life])
            raise
        if not self._begins:
            raise StartError(self._failure)

    async def end(self) -> None:
        """Return when it has closed all again, raising what it raises."""
        self._over.set()
        if self._life is not None:
            await self._life

    async def _live(self) -> None:
        scope = {"type": "lifespan", "asgi": {"version": "3.0", "spec_version": "2.0"}, "state": self.state}
        try:
            await self._app(scope, self._receive, self._send)
        except Exception as error:
            if self._begins:
                if not self._over.is_set():
                    self.on_failure(error)
                raise
            self._failure = str(error) or repr(error)
        finally:
            self._begun.set()

    async def _receive(self) -> Message:
        if not self._told_to_begin:
            self._told_to_begin = True
            return {"type": "lifespan.startup"}
        await self._over.wait()
        return {"type": "lifespan.shutdown"}

    async def _send(self, message: Message) -> None:
        if message["type"] == "lifespan.startup.complete":
            self._begins = True
            self._begun.set()
        elif message["type"] == "lifespan.startup.failed":
            self._failure = message.get("message") or self._failure
